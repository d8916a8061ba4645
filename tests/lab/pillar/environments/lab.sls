# The cluster of the lab. Whoever changes it for a while, to add st3 or cmp3 for example, leaves this file alone: the
# same path below /srv/changed on the master goes before it.
environments:
  lab:
    roles:
      storage: [st1, st2]
      ring_builder: [ring1]
      proxy: [px1]
      primary_controller: [ctl1]
      secondary_controller: [ctl2]
      # One after the other: the first one makes the tables of Keystone's database, and its administrator.
      compute: {target: 'cmp[12]', count: 2, puppet: {concurrency: 1}}
      endpoint: [ep1]

    puppet: {puppet_environment: production, timeout: 300, lock_timeout: 60}

    gates:
      rings:
        checks:
          - name: builder
            function: swift_ring.ready
            role: ring_builder
            kwargs: {member: false}
          - function: swift_ring.ready
            role: storage
            kwargs: {digest: '{builder.digest}'}
        timeout: 30

      rebalance:
        checks:
          - {function: swift_ring.may_rebalance, role: ring_builder}
        timeout: 30

      proxy:
        checks:
          - name: builder
            function: swift_ring.ready
            role: ring_builder
            kwargs: {member: false}
          - function: swift_ring.ready
            role: proxy
            kwargs: {member: false, digest: '{builder.digest}'}
          - function: swift_proxy.ready
            role: proxy
            timeout: 60
        timeout: 60

      # keepalived gives the address to a master that replicates; every compute node must reach it there, steadily.
      writer:
        checks:
          - function: mysql_endpoint.ready
            role: compute
            kwargs: {address: 10.77.0.30}
        successes: 3
        interval: 2
        timeout: 120

      endpoint:
        checks:
          - function: haproxy_endpoint.ready
            role: endpoint
            kwargs: {backend: keystone, count: 2}
        successes: 3
        interval: 2
        timeout: 60

    # What a rolling change of the compute nodes does to each, at the balancer.
    calls:
      drain:
        - {function: haproxy_endpoint.drain, role: endpoint, args: ['{node}']}
        - {function: haproxy_endpoint.drained, role: endpoint, args: ['{node}'], expect: true, within: 60, interval: 1}
      health:
        - {function: network.connect, args: ['{node}'], kwargs: {port: 5000}, key: result, expect: true, within: 60}
      restore:
        - {function: haproxy_endpoint.enable, role: endpoint, args: ['{node}']}
        - {function: haproxy_endpoint.up, role: endpoint, args: ['{node}'], expect: true, within: 60, interval: 1}
