# The proxy while storage nodes have no rings yet.

Storage nodes export their devices:
  phase.puppet:
    - role: storage
    - may_fail: ['Service[swift-*]']

The ring builder builds the rings:
  phase.puppet:
    - role: ring_builder
    - require:
      - phase: Storage nodes export their devices

The proxy is installed:
  phase.puppet:
    - role: proxy
    - require:
      - phase: The ring builder builds the rings

The proxy stores and returns an object:
  phase.gate:
    - gate: proxy
    - timeout: 15
    - require:
      - phase: The proxy is installed
