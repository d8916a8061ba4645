# A compute node, as far as the lab has one: Keystone, whose database is where the writes go.
class lab::keystone {
  $address = $facts['networking']['ip']

  class { 'keystone::db': database_connection => 'mysql+pymysql://keystone:secret@10.77.0.30/keystone' }
  class { 'keystone':
    # Tokens of one node are good on the other.
    fernet_keys     => {
      '/etc/keystone/fernet-keys/0' => { 'content' => 'UVtC-oY1iTGdsMMYtzvHOalA7M43nwRyerFK8gg0Jb4=' },
      '/etc/keystone/fernet-keys/1' => { 'content' => '4eJ6iGaMfEGhUO0J3PA2IJzEboT3c1lfAf4OGyHJx_A=' },
    },
    credential_keys => {
      '/etc/keystone/credential-keys/0' => { 'content' => 'LnJmh05iMTDVPLBv-cZcUWSSGTKY5eInCbCShjD6oJ0=' },
      '/etc/keystone/credential-keys/1' => { 'content' => '6x3YcUDvXW9ZGb45NzkbRpRwEvpG5zdeDQ0h9Oi-AiU=' },
    },
  }
  class { 'keystone::wsgi::uwsgi': processes => 1, threads => 8 }
  class { 'keystone::bootstrap':
    # The first of them makes what all of them need; the environment has them start one after the other.
    bootstrap    => $facts['networking']['hostname'] == 'cmp1',
    password     => 'secret',
    public_url   => 'http://ep1.lab.test:5000',
    admin_url    => 'http://ep1.lab.test:5000',
    # The balancer comes last, so a node asks itself.
    internal_url => 'http://127.0.0.1:5000',
    interface    => 'internal',
  }

  # The module finds the right password wrong in every run, and would set it again.
  Keystone_user <| title == 'admin' |> { replace_password => false }

  @@haproxy::balancermember { $facts['networking']['hostname']:
    listening_service => 'keystone',
    server_names      => $facts['networking']['hostname'],
    ipaddresses       => $address,
    ports             => '5000',
    options           => 'check inter 1s',
  }
}
