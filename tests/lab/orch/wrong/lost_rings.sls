# The ring builder once more, after its rings were lost.

The ring builder builds the rings:
  phase.puppet:
    - role: ring_builder

The rings are the same everywhere:
  phase.gate:
    - gate: rings
    - timeout: 5
    - require:
      - phase: The ring builder builds the rings
