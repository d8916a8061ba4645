base:
  os-orchestrator:
    - environments.lab
    - environments.faults
  # What nodes need for the gates, and nobody else sees.
  'px*':
    - logins.swift
  'cmp*':
    - logins.database
