#!/bin/sh
# Puppet on all nodes as a shell script: loop_pass.sh <the nodes, with commas> [how many at once]
exec salt -L "$1" ${2:+--batch-size="$2"} cmd.run 'puppet agent --test' success_retcodes='[0, 2]'
