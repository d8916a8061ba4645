# A controller: a database server that replicates from the other one, once that one is there.
class controller {
  include demo

  $mysql = "${demo::home}/mysql"
  $others = keys(demo::exported('database')) - $trusted['certname']

  file { $mysql:
    ensure => directory,
  }

  file { "${mysql}/my.cnf":
    content => "[mysqld]\ndatadir = ${mysql}\nlog_bin = on\n",
  }

  demo::daemon { 'mysql':
    needs   => ["${mysql}/my.cnf"],
    require => File["${mysql}/my.cnf"],
  }

  demo::export { 'database':
    value   => $mysql,
    require => Demo::Daemon['mysql'],
  }

  # On the first controller of a new site this fails in the first pass: the other one has not exported itself yet.
  exec { 'start-replication':
    command => "/bin/sh ${module_directory('controller')}/files/start-replication ${mysql}/master.info ${join($others, ' ')}",
    creates => "${mysql}/master.info",
    require => Demo::Daemon['mysql'],
  }
}
