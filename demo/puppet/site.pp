# The demo's nodes. Each applies this manifest with Puppet directories of its own; a directory stands for PuppetDB.

node 'ctl1', 'ctl2' { include controller }
node 'cmp1', 'cmp2' { include compute }
node 'ep1' { include endpoint }
node 'st1', 'st2' { include swift::storage }
node 'ring1' { include swift::ring_builder }
node 'px1' { include swift::proxy }
