# A compute node: nova-compute, which needs the database's writer, and which the endpoint finds when it runs.
class compute {
  include demo

  $nova = "${demo::home}/nova"
  $writer = regsubst($demo::writer, ':', '/')

  file { $nova:
    ensure => directory,
  }

  file { "${nova}/nova.conf":
    content => "[database]\nconnection = mysql://${demo::writer}/nova\n",
  }

  exec { 'nova-manage db sync':
    command => "/bin/bash -c '(exec 3<>/dev/tcp/${writer}) && touch ${nova}/schema'",
    creates => "${nova}/schema",
    require => File["${nova}/nova.conf"],
  }

  demo::daemon { 'nova-compute':
    needs   => ["${nova}/schema"],
    require => Exec['nova-manage db sync'],
  }

  demo::export { 'compute':
    value   => $trusted['certname'],
    require => Demo::Daemon['nova-compute'],
  }
}
