#!/bin/bash
# Prints, one per line, the `docker run` options that make a container a whole machine on this kernel:
# systemd as PID 1, its own Docker engine inside. The Vagrantfile and lab.sh both take them from here.
# usage: create_options.sh NODE
set -euo pipefail
cd "$(dirname "$0")/../../.."
node=$1

has_every_capability() {  # what --privileged asks for; some sandboxes withhold SYS_RESOURCE (bit 24)
    local bounding
    bounding=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
    (( 0x$bounding >> 24 & 1 ))
}

if has_every_capability; then
    echo --privileged
else
    printf '%s\n' --cap-add=ALL --cap-drop=SYS_RESOURCE --security-opt=seccomp=unconfined \
        --security-opt=systempaths=unconfined --security-opt=apparmor=unconfined
fi
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] && has_every_capability; then
    echo --cgroupns=private
else
    printf '%s\n' --cgroupns=host --volume=/sys/fs/cgroup:/sys/fs/cgroup:rw
fi
# A node that reboots itself comes back; one that lab.sh kills stays dead.
printf '%s\n' --restart=unless-stopped --tmpfs=/run:exec --tmpfs=/run/lock --tmpfs=/tmp:exec --env=container=docker \
    "--hostname=$node" "--volume=$PWD/build/lab/identity/$node:/lab:ro" \
    --label=orchestr.lab=node "--label=orchestr.checkout=$PWD"
