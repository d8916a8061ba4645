# Deploy OpenStack Compute.
#   salt-run deployment.run prod compute      salt-run state.orch orch.compute pillar='{"environment": "prod"}'

Primary controller is installed:
  phase.puppet:
    - role: primary_controller
    # Replication cannot start before the other controller is there. What fails for that is the site's to say: see
    # `phases` of the environment.

Secondary controller is installed:
  phase.puppet:
    - role: secondary_controller
    - require:
      - phase: Primary controller is installed

Replication commences:
  phase.puppet:
    - role: [primary_controller, secondary_controller]
    - require:
      - phase: Secondary controller is installed

The writer is ready:
  phase.gate:
    - gate: writer
    - require:
      - phase: Replication commences

Compute nodes are installed:
  phase.puppet:
    - role: compute
    - require:
      - phase: The writer is ready

The endpoint is installed:
  phase.puppet:
    - role: endpoint
    - require:
      - phase: Compute nodes are installed

# A balancer that was configured too early exits 0 and answers 503. Left out where there is no such gate.
The endpoint serves every compute node:
  phase.gate:
    - gate: endpoint
    - optional: true
    - require:
      - phase: The endpoint is installed
