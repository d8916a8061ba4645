# Compute nodes without the writer's gate before them.

Compute nodes are installed:
  phase.puppet:
    - role: compute
    - timeout: 60
