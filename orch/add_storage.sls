# Add storage nodes: those of the role that have never been deployed. All the others get the new rings.
#   salt-run deployment.run prod add_storage      salt-run deployment.run prod add_storage nodes=st4

New storage nodes export their devices:
  phase.puppet:
    - role: storage
    - nodes: new
    # No ring yet: the services cannot start in this pass.
    - may_fail: ['Service[swift-*]']

# Before min_part_hours are over the ring builder would leave partitions where they are, and not fail.
Partitions may move again:
  phase.gate:
    - gate: rebalance
    - optional: true
    - require:
      - phase: New storage nodes export their devices

The ring builder adds them to the rings:
  phase.puppet:
    - role: ring_builder
    - require:
      - phase: Partitions may move again

Storage nodes and proxies fetch the rings:
  phase.puppet:
    - role: [storage, proxy]
    - require:
      - phase: The ring builder adds them to the rings

The rings are the same everywhere:
  phase.gate:
    - gate: rings
    - optional: true
    - require:
      - phase: Storage nodes and proxies fetch the rings

The proxy stores and returns an object:
  phase.gate:
    - gate: proxy
    - optional: true
    - require:
      - phase: The rings are the same everywhere
