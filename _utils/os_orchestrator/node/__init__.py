"""One Puppet run on one node."""
