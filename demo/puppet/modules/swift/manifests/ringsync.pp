# Fetch a ring from the ring builder, once there is one.
define swift::ringsync {
  demo::exported('ring_server').each |$node, $directory| {
    file { "${swift::directory}/${title}.ring":
      source => "${directory}/${title}.ring",
    }
  }
}
