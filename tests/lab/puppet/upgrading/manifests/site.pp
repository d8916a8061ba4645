# An upgrade of the minion in mid-run: dpkg exchanges its files and its service is restarted while Puppet still has something
# to do.
package { 'salt-minion':
  ensure   => latest,
  provider => dpkg,
  source   => '/srv/salt-minion.deb',
}
~> service { 'salt-minion': ensure => running }
-> exec { '/bin/sh -c "sleep 10; date >/root/after-the-restart"':
  creates => '/root/after-the-restart',
}
