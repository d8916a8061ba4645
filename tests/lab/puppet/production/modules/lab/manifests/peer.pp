# The other master, which exports itself; its node replicates from it.
define lab::peer (String $address) {
  $source = "MASTER_HOST='${address}', MASTER_USER='replication', MASTER_PASSWORD='secret', MASTER_USE_GTID=slave_pos"

  exec { "replicate-from-${title}":
    command => "mysql -e \"STOP SLAVE; CHANGE MASTER TO ${source}; START SLAVE\"",
    unless  => "mysql -e 'SHOW SLAVE STATUS\\G' | grep -q 'Master_Host: ${address}$'",
    path    => ['/usr/bin', '/bin'],
  }
}
