# The endpoint: a balancer over every Keystone that has exported itself. It says who has answered. A server is taken out and
# put back at runtime through the socket; a new configuration is loaded without closing a door.
class lab::endpoint {
  class { 'haproxy':
    restart_command  => 'systemctl reload haproxy',
    global_options   => {
      'stats' => 'socket /run/haproxy/admin.sock mode 660 level admin',
      'user'  => 'haproxy',
      'group' => 'haproxy',
    },
    defaults_options => {
      'mode'    => 'http',
      'option'  => ['redispatch'],
      'retries' => 3,
      'timeout' => ['connect 5s', 'client 60s', 'server 60s'],
    },
  }
  haproxy::listen { 'keystone':
    ipaddress => '0.0.0.0',
    ports     => '5000',
    mode      => 'http',
    options   => {
      'option'        => ['httpchk GET /v3'],
      'balance'       => 'roundrobin',
      'http-response' => 'set-header X-Backend %s',
    },
  }
}
