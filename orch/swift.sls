# Deploy OpenStack Swift.
#   salt-run deployment.run prod swift        salt-run state.orch orch.swift pillar='{"environment": "prod"}'

Storage nodes export their devices:
  phase.puppet:
    - role: storage
    # No ring yet: the services cannot start in this pass.
    - may_fail: ['Service[swift-*]']

The ring builder builds the rings:
  phase.puppet:
    - role: ring_builder
    - require:
      - phase: Storage nodes export their devices

Storage nodes fetch the rings:
  phase.puppet:
    - role: storage
    - require:
      - phase: The ring builder builds the rings

The proxy is installed:
  phase.puppet:
    - role: proxy
    - require:
      - phase: Storage nodes fetch the rings
