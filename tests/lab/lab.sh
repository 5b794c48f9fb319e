#!/bin/bash
# The lab: lab1 ... lab5 at 192.168.56.11 ... 15, each a whole Debian 12 machine in a container.
#
#   lab.sh up                    every node up and answering; quick when they are
#   lab.sh reset [NODE...]       nodes back to bare, in seconds (all of them by default)
#   lab.sh down                  remove the nodes and their network
#   lab.sh status                one line per node, and one about LiveKit's image
#   lab.sh freeze|thaw NODE...   a node that hangs: it answers nothing, its connections stay open
#   lab.sh kill|start NODE...    a node that dies, and comes back with its disk
#   lab.sh prepare               engine, images, keys and network only;  keys: the keys only
#
# LAB_NODES (4 or 5) says how many. The machines are those of the Vagrantfile: Vagrant creates them where it is
# installed, and knows of those a reset has put in their place. Another checkout's lab has the same addresses
# and another key: `up` takes over by removing its nodes, and says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lab/nodes/names.sh
IMAGE=orchestr-lab/node:bookworm
LIVEKIT=v1.13.5

say() { echo "lab: $*"; }
die() { echo "lab: $*" >&2; exit 1; }

# --- one node -------------------------------------------------------------------------------------------

exists() { docker container inspect "$1" >/dev/null 2>&1; }

is_ours_and_running() {
    [ "$(docker container inspect "$1" 2>/dev/null --format \
        '{{.State.Running}} {{.State.Paused}} {{index .Config.Labels "orchestr.checkout"}}')" = "true false $PWD" ]
}

create() {
    local node=$1 options
    mapfile -t options < <(tests/lab/nodes/create_options.sh "$node")
    docker create --name "$node" "${options[@]}" "$IMAGE" >/dev/null
    docker network connect --ip "$(address_of "$node")" "$LAB_NETWORK" "$node"
    docker start "$node" >/dev/null
    # All that Vagrant keeps of a container is its id; so `vagrant status` and `vagrant ssh` go on working.
    mkdir -p ".vagrant/machines/$node/docker"
    docker container inspect --format '{{.Id}}' "$node" | tr -d '\n' >".vagrant/machines/$node/docker/id"
}

remove() { docker rm --force --volumes "$1" >/dev/null 2>&1 || true; }

recreate() {
    remove "$1"
    create "$1"
}

# Up means what a user of the node would notice: sshd answers, systemd has finished booting, Docker answers.
answers() {
    local node=$1
    # shellcheck disable=SC2016  # the dollar is for the node's shell
    timeout 2 bash -c "read -r line </dev/tcp/$(address_of "$node")/22 && [[ \$line == SSH-2.0-* ]]" 2>/dev/null &&
        timeout 10 docker exec "$node" sh -c \
            'case $(systemctl is-system-running) in running|degraded) docker version >/dev/null 2>&1;; *) false;; esac'
}

await() {  # await NODE [SECONDS]
    local node=$1 deadline=$((SECONDS + ${2:-120}))
    until answers "$node"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

await_new() { await "$1" || die "$1 does not answer after 120 s; see: docker exec $1 journalctl -b"; }

await_or_recreate() {  # a node that was there already may have been left unusable, by a test for instance
    await "$1" 15 && return
    say "$1 does not answer, putting it back to bare"
    recreate "$1"
    await_new "$1"
}

freeze_node() {
    # With cgroup v1 the containers inside a node are not below it in the freezer, so they are stopped first.
    docker exec "$1" sh -c 'kill -STOP -1'
    docker pause "$1" >/dev/null
}
thaw_node() {
    docker unpause "$1" >/dev/null
    docker exec "$1" sh -c 'kill -CONT -1'
}
kill_node() { docker kill "$1" >/dev/null; }
start_node() {
    docker start "$1" >/dev/null
    await_new "$1"
}

# --- several nodes --------------------------------------------------------------------------------------

each() {  # each COMMAND NODE...: for all nodes at once; fails when it failed for one of them
    local command=$1 failed=0 node jobs=()
    shift
    for node in "$@"; do
        "$command" "$node" &
        jobs+=($!)
    done
    for job in ${jobs[@]+"${jobs[@]}"}; do wait "$job" || failed=1; done
    return $failed
}

known_nodes() {  # the named nodes, all of them where none is named
    local node
    # shellcheck disable=SC2086  # words are wanted, here and below
    [ $# -gt 0 ] || set -- $ALL_NODES
    for node in "$@"; do
        grep -qx "$node" <<<"$ALL_NODES" || die "no node $node; there are: ${ALL_NODES//$'\n'/ }"
    done
    echo "$@"
}

lab_containers() {  # NAME|CHECKOUT of every lab node on this machine
    docker ps --all --filter label=orchestr.lab=node --format '{{.Names}}|{{.Label "orchestr.checkout"}}'
}

take_over() {  # remove nodes of another checkout: same names and addresses, other keys
    local stranger
    for stranger in $(lab_containers); do
        [ "${stranger#*|}" = "$PWD" ] && continue
        say "removing ${stranger%%|*}, a node of the lab in ${stranger#*|}"
        remove "${stranger%%|*}"
    done
}

ensure_network() {
    docker network inspect "$LAB_NETWORK" >/dev/null 2>&1 ||
        docker network create --subnet "$LAB_SUBNET" --gateway "$LAB_GATEWAY" "$LAB_NETWORK" >/dev/null
}

create_all() {  # create_all NODE...: through Vagrant where there is one
    each remove "$@"
    if command -v vagrant >/dev/null; then
        vagrant up --provider=docker "$@" >build/lab/vagrant.log 2>&1 </dev/null && return
        say "vagrant could not (build/lab/vagrant.log), creating the nodes without it"
    fi
    each recreate "$@"
}

# --- verbs ----------------------------------------------------------------------------------------------

verb_keys() { tests/lab/nodes/keys.sh; }

verb_prepare() {
    tests/lab/nodes/engine.sh
    tests/lab/images/livekit.sh start $LIVEKIT
    tests/lab/nodes/image.sh
    tests/lab/images/build.sh
    tests/lab/images/livekit.sh image $LIVEKIT
    verb_keys
    ensure_network
}

verb_up() {
    local node missing=""
    verb_prepare
    take_over
    for node in $ALL_NODES; do
        is_ours_and_running "$node" || missing+=" $node"
    done
    # shellcheck disable=SC2086
    [ -z "$missing" ] || create_all $missing
    # shellcheck disable=SC2086
    each await_or_recreate $ALL_NODES
    # shellcheck disable=SC2086
    say "up:" $ALL_NODES "(key build/lab/id_ed25519; users root, vagrant, operator)"
}

verb_reset() {
    local nodes
    nodes=$(known_nodes "$@")
    if ! [ -f build/lab/known_hosts ] || ! docker network inspect "$LAB_NETWORK" >/dev/null 2>&1; then
        verb_up
        return
    fi
    # shellcheck disable=SC2086
    each recreate $nodes
    # shellcheck disable=SC2086
    each await_new $nodes
    say "bare again: $nodes"
}

verb_down() {
    # shellcheck disable=SC2046
    each remove $(lab_containers | cut -d'|' -f1)
    docker network rm "$LAB_NETWORK" >/dev/null 2>&1 || true
    rm -f .vagrant/machines/lab?/docker/id
    say "down"
}

verb_status() {
    local node state
    for node in $ALL_NODES; do
        state=$(docker container inspect --format '{{.State.Status}}' "$node" 2>/dev/null) || state=absent
        printf '%s  %s  %s\n' "$node" "$(address_of "$node")" "$state"
    done
    tests/lab/images/livekit.sh status $LIVEKIT || true
}

locked() {  # one change of the lab at a time; Vagrant, which calls back for `prepare`, holds it already
    mkdir -p build/lab
    exec 9>build/lab/lock
    flock 9
    "$@"
}

main() {
    local verb=${1:-} nodes
    shift || true
    case $verb in
        up | down | reset) locked "verb_$verb" "$@" ;;
        status | prepare | keys) "verb_$verb" ;;
        freeze | thaw | kill | start)
            [ $# -gt 0 ] || die "$verb needs the name of a node"
            nodes=$(known_nodes "$@")
            # shellcheck disable=SC2086
            each "${verb}_node" $nodes
            ;;
        *)
            sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
            exit 2
            ;;
    esac
}

main "$@"
