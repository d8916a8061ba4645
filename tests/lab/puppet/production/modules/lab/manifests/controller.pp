# A controller: one of two MariaDB masters that replicate each other, and keepalived, which gives one of those that
# replicate the address that takes the writes.
class lab::controller {
  $address = $facts['networking']['ip']
  $host = $facts['networking']['hostname']
  $number = Integer(regsubst($host, '\D', '', 'G'))

  class { 'mysql::server':
    restart          => true,
    override_options => {
      'mysqld' => {
        'bind-address'             => '0.0.0.0',
        'server-id'                => $number,
        'gtid_domain_id'           => $number,
        'log-bin'                  => 'binlog',
        'log_slave_updates'        => 'ON',
        'auto_increment_increment' => 2,
        'auto_increment_offset'    => $number,
        'skip-name-resolve'        => true,
        'innodb_buffer_pool_size'  => '32M',
      },
    },
  }

  # The second master has them from the first one. Privileges, character set and collation by the names that MariaDB gives
  # them, for by any other they would be set again in every run.
  if $number == 1 {
    mysql_user { 'replication@%': password_hash => mysql::password('secret') }
    -> mysql_grant { 'replication@%/*.*':
      user       => 'replication@%',
      table      => '*.*',
      privileges => ['REPLICATION SLAVE'],
    }
    mysql_user { 'gate@%': password_hash => mysql::password('secret') }
    -> mysql_grant { 'gate@%/*.*':
      user       => 'gate@%',
      table      => '*.*',
      privileges => ['BINLOG MONITOR', 'SELECT'],
    }
    class { 'keystone::db::mysql':
      password      => 'secret',
      allowed_hosts => '%',
      charset       => 'utf8mb3',
      collate       => 'utf8mb3_general_ci',
    }
  }

  @@lab::peer { $host: address => $address }
  Class['mysql::server'] -> Lab::Peer <<| title != $host |>> -> Service['keepalived']

  file { '/usr/local/sbin/replicates':
    source => 'puppet:///modules/lab/replicates',
    mode   => '0755',
  }
  -> file { '/etc/keepalived/keepalived.conf':
    content => epp('lab/keepalived.conf.epp', { 'priority' => 100 - $number }),
  }
  ~> service { 'keepalived':
    ensure => running,
    enable => true,
  }
}
