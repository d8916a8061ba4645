# Add compute nodes: those of the role that have never been deployed. The others are not touched.
#   salt-run deployment.run prod add_compute      salt-run deployment.run prod add_compute nodes=cmp41,cmp42

The writer is ready:
  phase.gate:
    - gate: writer

New compute nodes are installed:
  phase.puppet:
    - role: compute
    - nodes: new
    - require:
      - phase: The writer is ready

The endpoint takes them up:
  phase.puppet:
    - role: endpoint
    - require:
      - phase: New compute nodes are installed

The endpoint serves every compute node:
  phase.gate:
    - gate: endpoint
    - optional: true
    - require:
      - phase: The endpoint takes them up
