# A storage node: it exports its device for the rings, and its services start once the rings have come.
class swift::storage {
  include swift

  $device = "${swift::directory}/d1"

  file { $device:
    ensure => directory,
  }

  demo::export { 'ring_device':
    value   => $device,
    require => File[$device],
  }

  $swift::rings.each |$ring| {
    swift::ringsync { $ring: }
    -> demo::daemon { "swift-${ring}":
      needs => ["${swift::directory}/${ring}.ring"],
    }
  }
}
