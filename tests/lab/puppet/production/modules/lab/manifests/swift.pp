# What every node of Swift has: the cluster's secret.
class lab::swift {
  class { 'swift': swift_hash_path_suffix => 'lab' }
}
