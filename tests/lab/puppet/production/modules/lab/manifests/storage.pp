# A storage node: two devices, exported into the three rings. Each node is a zone.
class lab::storage {
  include lab::swift
  include lab::rings

  $address = $facts['networking']['ip']

  class { 'swift::storage::all':
    storage_local_net_ip     => $address,
    account_port             => 6202,
    container_port           => 6201,
    object_port              => 6200,
    mount_check              => false,
    rsync_use_xinetd         => false,
    account_server_workers   => 1,
    container_server_workers => 1,
    object_server_workers    => 1,
  }
  file { ['/srv/node', '/srv/node/d1', '/srv/node/d2']:
    ensure  => directory,
    owner   => 'swift',
    group   => 'swift',
    require => Anchor['swift::install::end'],
    before  => Anchor['swift::service::begin'],
  }

  $zone = regsubst($facts['networking']['hostname'], '\D', '', 'G')
  ['d1', 'd2'].each |$device| {
    @@ring_object_device { "${address}:6200/${device}": zone => $zone, weight => 1 }
    @@ring_container_device { "${address}:6201/${device}": zone => $zone, weight => 1 }
    @@ring_account_device { "${address}:6202/${device}": zone => $zone, weight => 1 }
  }
}
