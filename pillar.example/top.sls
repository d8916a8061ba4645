# The environments are the pillar of an id that belongs to no minion. Never accept a key of that id:
# the machine behind it would get this pillar.
base:
  os-orchestrator:
    - environments.prod
    - environments.demo
