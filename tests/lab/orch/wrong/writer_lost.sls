# Compute nodes with the writer's gate before them, which is not given much time.

The writer is ready:
  phase.gate:
    - gate: writer
    - timeout: 15

Compute nodes are installed:
  phase.puppet:
    - role: compute
    - require:
      - phase: The writer is ready
