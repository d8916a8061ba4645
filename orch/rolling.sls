# Change a role wave by wave: each node is taken out of service, changed, looked at, and put back.
#   salt-run deployment.run prod rolling role=compute
# A node that is not well stays out of service, and no other follows it. `drain`, `health` and `restore` are the
# environment's calls; how large its waves are is said under `phases`.

Nodes are changed wave by wave:
  phase.puppet:
    - role: '{role}'
    - before: drain
    - check: health
    - after: restore
    - canary: 1
    - waves: 10%
