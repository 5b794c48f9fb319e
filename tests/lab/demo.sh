#!/bin/bash
# The demonstration: bare machines, one LiveKit node, nothing to change, grown to three, checked from outside.
# Every step's seconds and outcome end up in a summary; what each wrote is in build/demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
ORCHESTR=.venv/bin/orchestr
SINGLE=inventories/lab/livekit-single.yml
DISTRIBUTED=inventories/lab/livekit-distributed.yml
OUT=build/demo
SUMMARY=()

bold() { if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[1m%s\033[0m\n' "$*"; else echo "$*"; fi; }

summarize() {
    echo
    bold "Summary"
    printf '  %s\n' "${SUMMARY[@]}"
}

step() {  # step TITLE COMMAND...: runs it, shows it, remembers how it went; a failure ends the demonstration
    local title=$1 began=$SECONDS
    shift
    echo
    bold "── $title"
    echo "   \$ ${*/#$ORCHESTR/orchestr}"
    if "$@" </dev/null; then
        SUMMARY+=("$(printf 'done    %4d s  %s' $((SECONDS - began)) "$title")")
    else
        SUMMARY+=("$(printf 'FAILED  %4d s  %s' $((SECONDS - began)) "$title")")
        summarize
        exit 1
    fi
}

run_again() {  # the same run, whose result is read back: nothing may have changed
    "$ORCHESTR" run "$1" --json >$OUT/again.json || return 1
    .venv/bin/python - $OUT/again.json <<'PYTHON'
import json
import sys

with open(sys.argv[1]) as stream:
    hosts = json.load(stream)["hosts"]
for name, host in sorted(hosts.items()):
    print(f"   {name}: {host['ok']} ok, {host['changed']} changed, {host['failed']} failed")
sys.exit(any(host["changed"] or host["failed"] for host in hosts.values()))
PYTHON
}

mkdir -p $OUT
step "five machines (systemd, sshd, ufw, Docker inside)" tests/lab/lab.sh up
step "all of them bare" tests/lab/lab.sh reset
step "deploy: Caddy and the business service on lab1, LiveKit and Redis on lab2" "$ORCHESTR" run $SINGLE
step "deploy again: nothing changes" run_again $SINGLE
step "verify from outside" "$ORCHESTR" verify $SINGLE
step "upgrade: LiveKit on lab2, lab3 and lab4" "$ORCHESTR" upgrade $SINGLE --to $DISTRIBUTED
step "deploy the new inventory: nothing changes" run_again $DISTRIBUTED
step "verify from outside" "$ORCHESTR" verify $DISTRIBUTED
summarize
echo
echo "  The machines are up: make lab-status, vagrant ssh lab1, or"
echo "  ssh -i build/lab/id_ed25519 -o UserKnownHostsFile=build/lab/known_hosts root@192.168.56.11"
echo "  The same on your own machines: edit inventories/prod.yml, then .venv/bin/orchestr run inventories/prod.yml"
