#!/bin/sh
# The compute scenario as a shell script: loop.sh <the compute nodes, with commas> <the writer's file>
set -e
run() {
    salt -L "$1" cmd.run 'puppet agent --test' success_retcodes='[0, 2]'
}
for nodes in ctl1 ctl2 ctl1,ctl2; do
    run "$nodes"
done
salt -L "$1" file.file_exists "$2"
for nodes in "$1" ep1; do
    run "$nodes"
done
