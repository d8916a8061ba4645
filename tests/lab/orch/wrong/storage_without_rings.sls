# Storage as if it needed no rings: nothing may fail.

Storage nodes are installed:
  phase.puppet:
    - role: storage
