# A service that runs as long as its state file exists, and refuses to start while a file that it needs is missing.
#
# @param needs The files without which it does not start.
define demo::daemon (Array[String] $needs = []) {
  $state = "${demo::home}/run/${title}"

  service { $title:
    ensure   => running,
    provider => base,
    start    => "/bin/sh ${demo::files}/daemon ${state} ${join($needs, ' ')}",
    status   => "/usr/bin/test -e ${state}",
    stop     => "/bin/rm ${state}",
    require  => File["${demo::home}/run"],
  }
}
