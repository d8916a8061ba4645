# A proxy, with logins of its own.
class lab::proxy {
  include lab::swift
  include lab::rings

  class { 'memcached': max_memory => 16 }
  class { 'swift::proxy':
    proxy_local_net_ip => $facts['networking']['ip'],
    workers            => 1,
  }
  include swift::proxy::catch_errors
  include swift::proxy::gatekeeper
  include swift::proxy::healthcheck
  include swift::proxy::proxy_logging
  include swift::proxy::cache
  include swift::proxy::listing_formats
  include swift::proxy::copy
  class { 'swift::proxy::tempauth':
    account_user_list => [{ 'account' => 'lab', 'user' => 'gate', 'key' => 'secret', 'groups' => ['admin'] }],
  }
}
