#!/bin/bash
# Builds the lab's base (Debian 12, debootstrap) and node image, unless images of the same inputs are
# there already. The inputs' digest is an image label, so other checkouts' labs share the images.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=tests/lab/nodes
base=orchestr-lab/base:bookworm
node=orchestr-lab/node:bookworm
settings=build/lab/apt

has_digest() {  # has_digest IMAGE DIGEST
    [ "$(docker image inspect --format '{{index .Config.Labels "orchestr.inputs"}}' "$1" 2>/dev/null)" = "$2" ]
}
digest_of() {  # digest_of PATH...: of names, modes and contents
    find "$@" -type f -printf '%p %m\n' -exec sha256sum {} + | sort | sha256sum | cut -c1-16
}

build_base() {  # build_base DIGEST
    local root as_root=""
    echo "lab: debootstrap of Debian 12 (half a minute, once)"
    [ "$(id -u)" = 0 ] || as_root=sudo
    root=$(mktemp -d)
    # shellcheck disable=SC2064  # the directory of now is meant
    trap "$as_root rm -rf '$root'" RETURN
    # shellcheck disable=SC2046  # no mirror means no argument
    $as_root debootstrap --variant=minbase --include=ca-certificates bookworm "$root/root" \
        $(cat $settings/mirror) >build/lab/debootstrap.log 2>&1 ||
        { tail -5 build/lab/debootstrap.log >&2; exit 1; }
    $as_root cp -r $settings/certificates/. "$root/root/usr/local/share/ca-certificates/"
    $as_root chroot "$root/root" update-ca-certificates >/dev/null 2>&1
    $as_root rm -rf "$root"/root/var/cache/apt/archives/*.deb "$root"/root/var/lib/apt/lists/* "$root"/root/var/log/*
    $as_root tar -C "$root/root" -c . | docker import --change "LABEL orchestr.inputs=$1" - "$base" >/dev/null
}

build_node() {  # build_node DIGEST
    local context
    echo "lab: building the node image (about a minute, once)"
    context=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$context'" RETURN
    cp -r $here/Dockerfile $here/guest "$context/"
    mkdir -p "$context/apt/sources.list.d" "$context/apt/apt.conf.d"
    : >"$context/apt/sources.list"
    cp $settings/debian.list $settings/trixie.list "$context/apt/sources.list.d/"
    cp $settings/90lab "$context/apt/apt.conf.d/"
    docker build --build-arg BASE="$base" --build-arg EXTRA_PACKAGES="${LAB_EXTRA_PACKAGES:-}" \
        --label "orchestr.inputs=$1" -t "$node" "$context" >build/lab/node-image.log 2>&1 ||
        { tail -20 build/lab/node-image.log >&2; exit 1; }
}

main() {
    local base_digest node_digest
    $here/apt_settings.sh $settings
    base_digest=$(digest_of $settings/mirror $settings/certificates | cut -c1-16)
    has_digest "$base" "$base_digest" || build_base "$base_digest"
    if [ ! -s $settings/mirror ]; then  # not a Debian: what debootstrap chose is the mirror from here on
        LAB_MIRROR=$(docker run --rm --entrypoint awk "$base" '/^deb / {print $2; exit}' /etc/apt/sources.list) \
            $here/apt_settings.sh $settings
    fi
    node_digest=$(echo "$base_digest ${LAB_EXTRA_PACKAGES:-} $(digest_of $here/Dockerfile $here/guest)" |
        sha256sum | cut -c1-16)
    has_digest "$node" "$node_digest" || build_node "$node_digest"
}

main
