# The ring builder: it makes the rings of the devices that the storage nodes have exported, and serves them.
#
# @param replicas How many copies of an object there are; rings of fewer devices are not built.
class swift::ring_builder (Integer $replicas = 2) {
  include swift

  $devices = values(demo::exported('ring_device')).map |$device| { "${device}\n" }

  $swift::rings.each |$ring| {
    $builder = "${swift::directory}/${ring}.builder"

    file { $builder:
      content => join($devices),
    }

    exec { "swift-ring-builder ${ring}.builder rebalance":
      command => "/bin/sh ${swift::files}/rebalance ${builder} ${swift::directory}/${ring}.ring ${replicas}",
      unless  => "/usr/bin/cmp ${builder} ${swift::directory}/${ring}.ring",
      require => File[$builder],
      before  => Demo::Export['ring_server'],
    }
  }

  demo::export { 'ring_server':
    value => $swift::directory,
  }
}
