#!/bin/bash
# Every test, in two runs of pytest beside each other: those on the lab's machines wait most of the time, and leave the
# processor to the others. Options are handed to both; with a path among them, pytest runs once, on that path.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PYTEST=(.venv/bin/python -m pytest --durations=10)
readonly NOTHING_SELECTED=5 # pytest's exit status
readonly OUTPUT=build/tests-without-lab.txt

for option in "$@"; do
    if [[ $option == tests/* ]]; then exec "${PYTEST[@]}" "$@" </dev/null; fi
done

mkdir -p build
"${PYTEST[@]}" tests --ignore=tests/lab "$@" </dev/null >"$OUTPUT" 2>&1 &
others=$!
trap 'kill "$others" 2>/dev/null || true' EXIT
echo "tests without the lab run beside these, and are shown after them ($OUTPUT)"

with_lab=0 without_lab=0
"${PYTEST[@]}" tests/lab "$@" </dev/null || with_lab=$?
wait "$others" || without_lab=$?
echo
cat "$OUTPUT"

if ((with_lab == NOTHING_SELECTED)); then exit "$without_lab"; fi
if ((without_lab == NOTHING_SELECTED)); then exit "$with_lab"; fi
exit $((with_lab > without_lab ? with_lab : without_lab))
