# Which node plays which part; the roles are in modules/lab.
node /^st\d/ { include lab::storage }
node /^ring\d/ { include lab::ring_builder }
node /^px\d/ { include lab::proxy }
node /^ctl\d/ { include lab::controller }
node /^cmp\d/ { include lab::keystone }
node /^ep\d/ { include lab::endpoint }
