# A new configuration of the minion: its service is restarted while Puppet still has something to do.
file { '/etc/salt/minion.d/new.conf': content => "# new\n" }
~> service { 'salt-minion': ensure => running }
-> exec { '/bin/sh -c "sleep 10; date >/root/after-the-restart"':
  creates => '/root/after-the-restart',
}
