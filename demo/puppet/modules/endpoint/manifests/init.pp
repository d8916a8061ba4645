# The endpoint: HAProxy before the compute nodes that have exported themselves, and only before those.
class endpoint {
  include demo

  $haproxy = "${demo::home}/haproxy"
  $servers = keys(demo::exported('compute')).map |$node| { "  server ${node} ${node}:8774 check\n" }

  file { $haproxy:
    ensure => directory,
  }

  file { "${haproxy}/haproxy.cfg":
    content => "listen nova\n  bind *:8774\n${join($servers)}",
  }

  demo::daemon { 'haproxy':
    subscribe => File["${haproxy}/haproxy.cfg"],
  }
}
