# Nodes on which Puppet is made to fail, or its minion to restart, in Puppet environments of their own.
environments:
  restarting:
    roles: {upgraded: [ep1]}
    puppet: {puppet_environment: restarting, timeout: 300}

  transient:
    roles: {fresh: [cmp1, cmp2, ep1]}
    puppet:
      puppet_environment: transient
      timeout: 300
      # Off by default: a catalog that cannot be had is no accident as a rule.
      retries: {no_catalog: 1}
