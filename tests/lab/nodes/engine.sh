#!/bin/bash
# A Docker engine for the lab: the one that answers is used; where none does, dockerd is started
# so that it outlives this shell and is found again next time. Prints nothing when all is well.
set -euo pipefail
cd "$(dirname "$0")/../../.."
log=build/lab/dockerd.log

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi; }

is_running() {  # a dockerd of this machine, not one that has just been killed and is not reaped yet
    local pid
    pid=$(cat /var/run/docker.pid 2>/dev/null) || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status"
}

start() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl start docker.service || true
        return
    fi
    echo "lab: starting dockerd (log: $log)"
    # A pid file left by one that was killed would keep dockerd from starting.
    is_running || as_root rm -f /var/run/docker.pid
    # No descriptor of ours goes along, the lab's lock least of all.
    as_root setsid nohup dockerd >>"$log" 2>&1 </dev/null 9>&- &
}

share() {  # with whoever asked: an access list on the socket, gone at the next start of Docker
    as_root docker version >/dev/null 2>&1 || return 1
    echo "lab: giving $(id -un) access to Docker's socket (that is as much as root's)"
    sudo setfacl --modify "user:$(id -un):rw" /var/run/docker.sock
}

mkdir -p build/lab
answers && exit 0
as_root docker version >/dev/null 2>&1 || start
for attempt in $(seq 300); do
    answers && exit 0
    # One that gave up at once (what it needs was still being torn down) is started again, a few times.
    if [ $((attempt % 50)) = 0 ] && ! is_running; then start; fi
    if [ "$(id -u)" != 0 ] && share && answers; then exit 0; fi
    sleep 0.2
done
echo "lab: no Docker engine answers and dockerd did not start; the last lines of $log:" >&2
tail -5 "$log" >&2 || true
exit 1
