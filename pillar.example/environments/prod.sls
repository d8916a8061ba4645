# An environment: which nodes play which part, and what is special there.
#   salt-run environment.validate prod        names every mistake, its place and its cure
#   salt-run deployment.plan prod compute     shows what would run where, and touches nothing
# Every key, with its default, is in docs/environment.md. No credentials here: arguments lie in the job cache.
environments:
  prod:

    # The names are those that the scenarios use; add others for scenarios of your own.
    roles:
      # OpenStack Compute (orch/compute.sls).
      primary_controller: [ctl1.example.com]
      secondary_controller: [ctl2.example.com]
      # Where MySQL-MMM's monitor runs: its gate asks there.
      mmm_monitor: [mon1.example.com]
      # Any Salt target will do. The count is what it must match: a node whose key is missing would go unnoticed else.
      compute: {target: 'cmp*.example.com', count: 4}
      # `endpoint: []` where a hardware balancer does it: its phase is then shown as left out.
      endpoint: [lb1.example.com]
      # Where PuppetDB is told that a node is gone (orch/remove_compute.sls): one node.
      puppet_server: [puppet1.example.com]

      # OpenStack Swift (orch/swift.sls).
      storage:
        - st1.example.com
        - st2.example.com
        - st3.example.com
      ring_builder: [ring1.example.com]
      proxy:
        nodes: [px1.example.com, px2.example.com]
        # What is special about one role: any key of `puppet` below.
        puppet: {concurrency: 1}

    # Left out of every phase, and every summary says so.
    exclude:
      cmp4.example.com: disk broken, ticket 4711

    puppet:
      puppet_environment: production
      timeout: 3600        # seconds for one run
      lock_timeout: 600    # seconds to wait for a run that is going on already, for example the daemon's
      concurrency: 50      # nodes at the same time

    # What differs in a phase, by its sentence in the scenario.
    phases:
      Primary controller is installed:
        # Replication cannot start before the other controller is there. Only these may fail, nothing else.
        may_fail: ['Exec[start-slave]', 'Mysql_replication[*]']

      # Ten compute nodes are changed at once, never two racks; see docs/scenarios.md.
      Nodes are changed wave by wave:
        waves: {grain: rack, max_failures: 0}
        concurrency: 10

    # What must hold, steadily, before the next phase starts.
    gates:
      # The database can be written from where compute nodes will write it. The credentials are the nodes' own, in their
      # `mysql.*` options.
      writer:
        checks:
          # MySQL-MMM's monitor has given the address to a master that works (with Galera, in place of this check:
          # mysql_galera.ready on the controllers),
          - name: writer
            function: mysql_mmm.writer_ready
            role: mmm_monitor
            kwargs: {expected_ip: 10.0.0.10}
            timeout: 60    # more than the 30 s after which mmm_control is given up
          # and every compute node can write through it, and reaches the server that the monitor named. This one serves
          # keepalived, ProxySQL and HAProxy as well, without the last two arguments.
          - function: mysql_endpoint.ready
            role: compute
            kwargs: {address: 10.0.0.10, holder: '{writer.host}', node_address: '{writer.host_ip}'}
        successes: 5    # rounds in a row; with the interval longer than the 15 s in which MMM may show a dead writer
        interval: 4     # seconds from one round to the next
        timeout: 300    # seconds until the deployment fails

      # Every storage node is in every ring, and has the ring builder's. Without this gate its phase is left out.
      rings:
        checks:
          - name: builder
            function: swift_ring.ready
            role: ring_builder
            kwargs: {member: false}
          - function: swift_ring.ready
            role: storage
            kwargs: {digest: '{builder.digest}'}

      # Each proxy stores an object, reads it again and deletes it; its login is the node's own, under `swift_proxy`.
      proxy:
        checks:
          - function: swift_proxy.ready
            role: proxy
            timeout: 60
        successes: 2

      # The balancer has every compute node behind it, and its checks of them succeed.
      endpoint:
        checks:
          - function: haproxy_endpoint.ready
            role: endpoint
            kwargs: {backend: nova_api, count: 3}
        successes: 3

      # min_part_hours have passed since the last rebalance, before storage nodes are added.
      rebalance:
        checks:
          - function: swift_ring.may_rebalance
            role: ring_builder
        interval: 60
        timeout: 7200

    # What goes with a node in day two's scenarios (rolling, configure, remove_compute); [] where a site needs none.
    calls:
      drain:
        - {function: haproxy_endpoint.drain, role: endpoint, args: ['{node}']}
        - {function: haproxy_endpoint.drained, role: endpoint, args: ['{node}'], expect: true, within: 300}
      health:
        - {function: network.connect, args: [localhost, 8774], key: result, expect: true, within: 60}
      # Back in service, and HAProxy's own check of it succeeds.
      restore:
        - {function: haproxy_endpoint.enable, role: endpoint, args: ['{node}']}
        - {function: haproxy_endpoint.up, role: endpoint, args: ['{node}'], expect: true, within: 60}
      deactivate:
        - {function: puppetdb_node.deactivate, role: puppet_server, args: ['{node}'], timeout: 120}
      gone:
        - {function: haproxy_endpoint.gone, role: endpoint, args: ['{node}'], expect: true, within: 30}
