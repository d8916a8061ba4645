# The proxy: it takes an object and stores it on every storage node, which must have its rings by then.
class swift::proxy {
  include swift

  $devices = values(demo::exported('ring_device'))

  swift::ringsync { $swift::rings: }

  demo::daemon { 'swift-proxy':
    needs   => $swift::rings.map |$ring| { "${swift::directory}/${ring}.ring" },
    require => Swift::Ringsync[$swift::rings],
  }

  exec { 'store an object':
    command => "/bin/sh ${swift::files}/store ${swift::directory}/stored ${join($devices, ' ')}",
    creates => "${swift::directory}/stored",
    require => Demo::Daemon['swift-proxy'],
  }
}
