# Nodes on which Puppet is made to fail, or to restart or upgrade its minion, in Puppet environments of their own.
environments:
  restarting:
    roles: {restarted: [ep1]}
    puppet: {puppet_environment: restarting, timeout: 300}

  upgrading:
    roles: {upgraded: [old1]}
    puppet: {puppet_environment: upgrading, timeout: 300}

  transient:
    roles: {fresh: [cmp2, ep1]}
    puppet:
      puppet_environment: transient
      timeout: 300
      # Off by default: a catalog that cannot be had is no accident as a rule.
      retries: {no_catalog: 1}
