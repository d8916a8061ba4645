# The environment of `make demo`: nine nodes on one machine.
environments:
  demo:
    roles:
      # OpenStack Compute (orch/compute.sls).
      primary_controller: [ctl1]
      secondary_controller: [ctl2]
      compute: {target: 'cmp*', count: 2}
      endpoint: [ep1]
      # OpenStack Swift (orch/swift.sls).
      storage: [st1, st2]
      ring_builder: [ring1]
      proxy: [px1]
    puppet: {timeout: 120, lock_timeout: 60}
    phases:
      Primary controller is installed:
        # It replicates from the secondary, which is not there yet.
        may_fail: ['Exec[start-replication]']
    gates:
      writer:
        checks:
          - function: network.connect
            role: compute
            # The demo puts its own port here.
            kwargs: {host: 127.0.0.1, port: 13306}
        successes: 2
        interval: 1
        timeout: 60
    # What goes with a node in day two's scenarios: nothing here, there is no balancer.
    calls: {drain: [], health: [], restore: [], deactivate: [], gone: []}
