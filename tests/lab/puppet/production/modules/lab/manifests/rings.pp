# The rings, fetched from the ring builder as soon as it has exported where they are.
class lab::rings {
  # Without this arrow a third pass is needed: half of the services are started before their ring has come.
  Anchor['swift::config::begin'] -> Swift::Ringsync <<| |>> ~> Anchor['swift::config::end']
}
