# The ring builder: rings of all exported devices, and their place, exported to those who need them. Devices that are new
# are added to the rings that are there, which are rebalanced once: that moves one replica of a partition at most, and
# none that has moved within `min_part_hours`. A cluster that grows again within that time keeps its rings as they are,
# which Puppet does not tell: the gate `rings` does.
class lab::ring_builder (Integer $min_part_hours = 0) {
  include lab::swift

  class { 'swift::ringbuilder':
    part_power     => 8,
    replicas       => 3,
    min_part_hours => $min_part_hours,
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
