# The endpoint before any compute node.

The endpoint is installed:
  phase.puppet:
    - role: endpoint

The endpoint serves every compute node:
  phase.gate:
    - gate: endpoint
    - timeout: 15
    - require:
      - phase: The endpoint is installed
