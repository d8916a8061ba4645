# An upgrade of the minion in mid-run: its service is restarted while Puppet still has something to do.
file { '/etc/salt/minion.d/upgraded.conf': content => "# new\n" }
~> service { 'salt-minion': ensure => running }
-> exec { '/bin/sh -c "sleep 15; date >/root/after-the-restart"':
  creates => '/root/after-the-restart',
}
