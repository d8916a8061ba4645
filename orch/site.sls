# Deploy Compute and Swift of one environment, side by side: what does not depend on the other runs at the same time.
#   salt-run deployment.run prod site

The primary controller is installed, storage nodes export their devices:
  phase.puppet:
    - role: [primary_controller, storage]
    # No ring yet: the services cannot start in this pass.
    - may_fail: ['Service[swift-*]']

The secondary controller is installed, the rings are built:
  phase.puppet:
    - role: [secondary_controller, ring_builder]
    - require:
      - phase: The primary controller is installed, storage nodes export their devices

Replication commences, storage nodes fetch the rings:
  phase.puppet:
    - role: [primary_controller, secondary_controller, storage]
    - require:
      - phase: The secondary controller is installed, the rings are built

The writer is ready:
  phase.gate:
    - gate: writer
    - require:
      - phase: Replication commences, storage nodes fetch the rings

The rings are the same everywhere:
  phase.gate:
    - gate: rings
    - optional: true
    - require:
      - phase: The writer is ready

Compute nodes and proxies are installed:
  phase.puppet:
    - role: [compute, proxy]
    - require:
      - phase: The rings are the same everywhere

The endpoint is installed:
  phase.puppet:
    - role: endpoint
    - require:
      - phase: Compute nodes and proxies are installed

The endpoint serves every compute node:
  phase.gate:
    - gate: endpoint
    - optional: true
    - require:
      - phase: The endpoint is installed

The proxy stores and returns an object:
  phase.gate:
    - gate: proxy
    - optional: true
    - require:
      - phase: The endpoint serves every compute node
