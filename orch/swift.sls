# Deploy OpenStack Swift.
#   salt-run deployment.run prod swift        salt-run state.orch orch.swift pillar='{"environment": "prod"}'

Storage nodes export their devices:
  phase.puppet:
    - role: storage
    # No ring yet: the services cannot start in this pass.
    - may_fail: ['Service[swift-*]']

The ring builder builds the rings:
  phase.puppet:
    - role: ring_builder
    - require:
      - phase: Storage nodes export their devices

Storage nodes fetch the rings:
  phase.puppet:
    - role: storage
    - require:
      - phase: The ring builder builds the rings

# An exit status does not show it: the ring builder exits 0 with its rings lost. Left out where there is no such gate.
The rings are the same everywhere:
  phase.gate:
    - gate: rings
    - optional: true
    - require:
      - phase: Storage nodes fetch the rings

The proxy is installed:
  phase.puppet:
    - role: proxy
    - require:
      - phase: The rings are the same everywhere

The proxy stores and returns an object:
  phase.gate:
    - gate: proxy
    - optional: true
    - require:
      - phase: The proxy is installed
