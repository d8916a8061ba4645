# The ring builder while fewer nodes have exported devices than there are replicas.

The ring builder builds the rings:
  phase.puppet:
    - role: ring_builder
