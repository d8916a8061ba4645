# What every node of the Swift cluster has in common.
class swift {
  include demo

  $directory = "${demo::home}/swift"
  $files = "${module_directory('swift')}/files"
  $rings = ['account', 'container', 'object']

  file { $directory:
    ensure => directory,
  }
}
