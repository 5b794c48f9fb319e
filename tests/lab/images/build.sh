#!/bin/bash
# Builds the lab's service images into the controller's Docker engine under the upstream names the roles use,
# unless images of the same inputs are there already (their digest is an image label).
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=tests/lab/images
base=orchestr-lab/base:bookworm
settings=build/lab/apt

# image of this lab : the stage of the Dockerfile it is; the first two are what other Dockerfiles stand on
IMAGES="orchestr-lab/slim=slim orchestr-lab/python=python
redis:7=redis caddy:2=caddy caddy:2.6=caddy-old orchestr-lab/livekit-standin=livekit-standin example/webapp:1=webapp"
# the same, of chatsystem/Dockerfile
CHATSYSTEM="coreos/etcd:v3.4=etcd mysql:8.0=mysql rabbitmq:3.12-management-alpine=rabbitmq
elasticsearch:8.11.0=elasticsearch chatsystem/server:v3=chat"

# An image is built again when what goes into it changed, and only then: nodes tell images by their id.
digest_of() {  # digest_of STAGE
    local inputs="$here/Dockerfile $here/collect.sh $here/place.sh $here/apt"
    case $1 in
        redis) inputs+=" $here/redis" ;;
        livekit-standin | webapp) inputs+=" $here/shared $here/$1" ;;
        etcd) inputs+=" $here/chatsystem/Dockerfile $here/chatsystem/collect.sh" ;;
        mysql | rabbitmq | elasticsearch | chat)
            inputs+=" $here/chatsystem/Dockerfile $here/chatsystem/collect.sh $here/chatsystem/$1"
            [ "$1" != chat ] || inputs+=" $here/chatsystem/bin"
            ;;
    esac
    # shellcheck disable=SC2086  # words are wanted
    (docker image inspect --format '{{.Id}}' "$base"
     find $inputs -name __pycache__ -prune -o -type f -printf '%p %m\n' -exec sha256sum {} + | sort) |
        sha256sum | cut -c1-16
}
is_built() {  # is_built IMAGE STAGE
    [ "$(docker image inspect --format '{{index .Config.Labels "orchestr.inputs"}}' "$1" 2>/dev/null)" = "$(digest_of "$2")" ]
}
build() {  # build DOCKERFILE IMAGE=STAGE
    local image=${2%=*} stage=${2#*=}
    if docker image inspect "$image" >/dev/null 2>&1; then
        echo "lab: $image names the lab's build from now on (it named another image)"
    fi
    docker build --build-arg BASE="$base" --build-arg SLIM=orchestr-lab/slim --build-arg PYTHON=orchestr-lab/python \
        --label "orchestr.inputs=$(digest_of "$stage")" --file "$context/$1" --target "$stage" -t "$image" "$context" \
        >>build/lab/service-images.log 2>&1 || { tail -20 build/lab/service-images.log >&2; exit 1; }
}

missing=""
for image in $IMAGES $CHATSYSTEM; do is_built "${image%=*}" "${image#*=}" || missing+=" $image"; done
[ -n "$missing" ] || exit 0

echo "lab: building service images (a minute or two, once)"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
find $here -mindepth 1 -maxdepth 1 -exec cp -r {} "$context/" \;
find "$context" -name __pycache__ -prune -exec rm -rf {} +
mkdir -p "$context/apt/sources.list.d" "$context/apt/apt.conf.d"
cp "$settings/90lab" "$context/apt/apt.conf.d/"
: >"$context/apt/sources.list"
cp "$settings/debian.list" "$settings/backports.list" "$context/apt/sources.list.d/"
for image in $missing; do
    case " ${IMAGES//$'\n'/ } " in *" $image "*) build Dockerfile "$image" ;; *) build chatsystem/Dockerfile "$image" ;; esac
done
