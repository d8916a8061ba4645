# Export a value of this node, as an exported resource would: from then on the other nodes find it.
#
# @param value What they find.
define demo::export (String $value) {
  file { "${demo::puppetdb}/${title}.${trusted['certname']}":
    content => $value,
  }
}
