# Take compute nodes out for good. They may be dead: what is called for them is called elsewhere.
#   salt-run deployment.run prod remove_compute nodes=cmp7      Then take them out of the environment's role.

Compute nodes are drained:
  phase.call:
    - role: compute
    - nodes: named
    - calls: drain

PuppetDB forgets them:
  phase.call:
    - role: compute
    - nodes: named
    - calls: deactivate
    - require:
      - phase: Compute nodes are drained

The endpoint leaves them out:
  phase.puppet:
    - role: endpoint
    - require:
      - phase: PuppetDB forgets them

Nothing is sent to them any more:
  phase.call:
    - role: compute
    - nodes: named
    - calls: gone
    - require:
      - phase: The endpoint leaves them out
