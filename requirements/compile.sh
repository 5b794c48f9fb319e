#!/bin/bash
# Resolves setup.cfg and benchmarks/requirements.in anew, with the hashes of every file of each package, for all
# platforms and every Python that orchestr supports:
#   dev.txt       the newest versions: `make install` and CI install exactly these
#   go.txt        Go for the lab's LiveKit, where the machine has none
#   minimum.txt   the oldest that setup.cfg allows: `make test-minimums` tries them
#   uv.txt        uv itself, which does it
# A version that is in a file stays there as long as it fits; to take newer ones: requirements/compile.sh --upgrade
set -euo pipefail
cd "$(dirname "$0")/.."
uv=build/lock-venv/bin/uv
if [ ! -x "$uv" ] || [ requirements/uv.txt -nt build/lock-venv/.installed ]; then
    python3 -m venv --clear build/lock-venv
    build/lock-venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
    touch build/lock-venv/.installed
fi

resolve() {  # resolve OUTPUT INPUT OPTION...
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
        --custom-compile-command requirements/compile.sh --output-file "$@"
}
resolve requirements/dev.txt setup.cfg --extra dev --extra lab "$@"
resolve requirements/minimum.txt setup.cfg --extra dev --resolution lowest-direct "$@"
resolve requirements/go.txt requirements/go.in "$@"
resolve benchmarks/requirements.txt benchmarks/requirements.in "$@"
resolve requirements/uv.txt requirements/uv.in "$@"
