# Bring a change of Puppet code or hiera to a role: to one node, then, when an operator has looked at it, to the others.
#   salt-run deployment.run prod configure role=compute        salt-run deployment.confirm prod

One node takes the change:
  phase.puppet:
    - role: '{role}'
    - nodes: 1
    - before: drain
    - check: health
    - after: restore

An operator has looked at it:
  phase.confirm:
    - message: one node has the change; look at it before the others get it
    - require:
      - phase: One node takes the change

The others follow wave by wave:
  phase.puppet:
    - role: '{role}'
    - nodes: rest
    - before: drain
    - check: health
    - after: restore
    - waves: 25%
    - require:
      - phase: An operator has looked at it
