# Look whether every node of an environment is as Puppet would have it; nothing is changed. Fails when one is not.
#   salt-run deployment.run prod audit

Nothing has drifted:
  phase.puppet:
    - role: '*'
    - noop: true
    - expect: unchanged
    - max_failures: 100%
