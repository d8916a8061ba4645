# Where the demo keeps what it pretends with.
#
# @param home The directory that stands for this node's disk.
# @param puppetdb The directory that stands for PuppetDB.
# @param writer The host and port at which the database takes writes.
class demo (String $home, String $puppetdb, String $writer) {
  $files = "${module_directory('demo')}/files"

  file { "${home}/run":
    ensure => directory,
  }
}
