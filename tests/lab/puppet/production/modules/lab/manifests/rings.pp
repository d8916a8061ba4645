# The rings, fetched from the ring builder as soon as it has exported where they are, and again whenever they are new.
class lab::rings {
  # Without these arrows a third pass is needed: half of the services are started before their ring has come. They notify
  # nobody: Swift sees a new ring by itself, and a cluster that grows shall not restart on all its nodes at once.
  Anchor['swift::config::begin'] -> Swift::Ringsync <<| |>> -> Anchor['swift::config::end']
}
