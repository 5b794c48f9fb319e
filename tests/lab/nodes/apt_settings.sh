#!/bin/bash
# Writes into directory $1 the apt settings of a lab node: where bookworm and trixie come from
# (this machine's own mirror) and this machine's proxy, certificate and clock settings.
#   mirror         the mirror's address; empty where this machine is not a Debian (debootstrap has a default)
#   debian.list    bookworm, its updates and security
#   trixie.list, backports.list   the suites Docker, compose and Caddy are pinned from
#   90lab          Acquire:: settings
#   certificates/  authorities this machine was taught to trust
# LAB_MIRROR, when set, is used instead of what apt says.
set -euo pipefail
out=$1
mkdir -p "$out/certificates"

source_labelled() {
    # shellcheck disable=SC2016  # the dollars are apt's
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' -v label="$1" '$1 == label && !found {sub("/$", "", $2); print $2; found = 1}'
}

list() {  # list FILE MIRROR SUITE...: apt's one-line format; an empty file where there is no mirror
    local file=$1 mirror=$2 suite
    shift 2
    for suite in "$@"; do
        [ -z "$mirror" ] || printf 'deb %s %s main\n' "$mirror" "$suite"
    done >"$out/$file"
}

mirror=${LAB_MIRROR:-$(source_labelled Debian)}
printf '%s' "$mirror" >"$out/mirror"
list debian.list "$mirror" bookworm bookworm-updates
list security.list "$(source_labelled Debian-Security)" bookworm-security
cat "$out/security.list" >>"$out/debian.list"
rm "$out/security.list"
list trixie.list "$mirror" trixie
list backports.list "$mirror" trixie-backports
apt-config dump |
    grep -E '^Acquire::(http|https|Check-|Max-ValidTime|Retries)' |
    grep -v -i -E 'password|userinfo|SslKey|SslCert' >"$out/90lab" || true
cp /usr/local/share/ca-certificates/*.crt "$out/certificates/" 2>/dev/null || true
