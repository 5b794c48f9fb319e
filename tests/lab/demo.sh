#!/bin/bash
# The demonstration: bare machines, one LiveKit node, nothing to change, grown to three with a call going on, checked
# from outside.
# Every step's seconds and outcome end up in a summary; what each wrote is in build/demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
ORCHESTR=.venv/bin/orchestr
PYTHON=.venv/bin/python
LIVEKIT=v1.13.5
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
    "$PYTHON" - $OUT/again.json <<'PYTHON'
import json
import sys

with open(sys.argv[1]) as stream:
    hosts = json.load(stream)["hosts"]
for name, host in sorted(hosts.items()):
    print(f"   {name}: {host['ok']} ok, {host['changed']} changed, {host['failed']} failed")
sys.exit(any(host["changed"] or host["failed"] for host in hosts.values()))
PYTHON
}

begin_call() {  # ada and bob in a room, until end_call: bob hears ada
    local line
    rm -f $OUT/hold && mkfifo $OUT/hold
    exec {SAID}< <(exec "$PYTHON" -m tests.lab.call hold <$OUT/hold)
    CALL=$!
    exec {HOLD}>$OUT/hold
    read -r line <&"$SAID" && echo "$line"
}

end_call() {  # and says what bob heard; a gap of more than a second is a failure
    exec {HOLD}>&-
    cat <&"$SAID"
    wait "$CALL"
}

mkdir -p $OUT
step "five machines (systemd, sshd, ufw, Docker inside)" tests/lab/lab.sh up
step "all of them bare" tests/lab/lab.sh reset
echo
if tests/lab/images/livekit.sh status $LIVEKIT; then has_calls=yes; else has_calls=""; fi  # a stand-in carries no sound
step "deploy: Caddy and the business service on lab1, LiveKit and Redis on lab2" "$ORCHESTR" run $SINGLE
step "deploy again: nothing changes" run_again $SINGLE
step "verify from outside" "$ORCHESTR" verify $SINGLE
[ -z "$has_calls" ] || step "a call begins: ada speaks, bob hears her" begin_call
step "upgrade: LiveKit on lab2, lab3 and lab4" "$ORCHESTR" upgrade $SINGLE --to $DISTRIBUTED
[ -z "$has_calls" ] || step "the call was heard all the while" end_call
step "deploy the new inventory: nothing changes" run_again $DISTRIBUTED
step "verify from outside" "$ORCHESTR" verify $DISTRIBUTED
summarize
echo
echo "  The machines are up: make lab-status, vagrant ssh lab1, or"
echo "  ssh -i build/lab/id_ed25519 -o UserKnownHostsFile=build/lab/known_hosts root@192.168.56.11"
echo "  The same on your own machines: edit inventories/prod.yml, then .venv/bin/orchestr run inventories/prod.yml"
