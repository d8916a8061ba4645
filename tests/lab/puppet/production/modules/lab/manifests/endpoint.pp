# The endpoint: a balancer over every Keystone that has exported itself. It says who has answered.
class lab::endpoint {
  class { 'haproxy':
    global_options   => {
      'stats' => 'socket /run/haproxy/admin.sock mode 660 level admin',
      'user'  => 'haproxy',
      'group' => 'haproxy',
    },
    defaults_options => {
      'mode'    => 'http',
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
