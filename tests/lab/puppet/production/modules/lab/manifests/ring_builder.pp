# The ring builder: rings of all exported devices, and their place, exported to those who need them.
class lab::ring_builder {
  include lab::swift

  class { 'swift::ringbuilder':
    part_power     => 8,
    replicas       => 3,
    min_part_hours => 0,
  }
  Ring_object_device <<| |>>
  Ring_container_device <<| |>>
  Ring_account_device <<| |>>

  class { 'swift::ringserver':
    local_net_ip     => $facts['networking']['ip'],
    rsync_use_xinetd => false,
  }
  @@swift::ringsync { ['account', 'container', 'object']: ring_server => $facts['networking']['ip'] }
}
