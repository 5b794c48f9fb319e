#!/bin/bash
# Installs the Debian (or Ubuntu) packages that are missing, as root or with sudo, and says which.
#   packages.sh python    what `make install` needs: Python 3.11 or later that can make a virtual environment
#   packages.sh tests     what the tests start on this machine: an sshd of their own on loopback
#   packages.sh lab       what the lab needs: a Docker engine, debootstrap, OpenSSH's client, Vagrant if there is one
set -euo pipefail

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi; }

install_packages() {
    [ $# -gt 0 ] || return 0
    echo "installing Debian packages: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

has() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1; }
is_offered() { apt-cache show "$1" 2>/dev/null | grep -q '^Package:'; }

python_works() {  # python_works NAME: new enough, and able to make a virtual environment with pip in it
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local name
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if python_works "$name"; then echo "$name" && return; fi
    done
    return 1
}

for_python() {
    find_python >/dev/null && return
    if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || ! is_offered python3.11-venv; then
        install_packages python3 python3-venv
    else
        install_packages python3.11 python3.11-venv
    fi
    find_python >/dev/null || { echo "no Python 3.11 or later here; install one and run again" >&2; exit 1; }
}

for_lab() {
    local wanted=()
    if ! docker version >/dev/null 2>&1; then
        has dockerd && has docker || wanted+=(docker.io)
        has docker || ! is_offered docker-cli || wanted+=(docker-cli)
        has iptables || wanted+=(iptables)
    fi
    has debootstrap || wanted+=(debootstrap)
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || wanted+=(debian-archive-keyring)
    has ssh || wanted+=(openssh-client)
    has openssl || wanted+=(openssl)
    has curl || wanted+=(curl)
    ls /usr/lib/*/libnss_wrapper.so >/dev/null 2>&1 || wanted+=(libnss-wrapper)
    [ "$(id -u)" = 0 ] || has setfacl || wanted+=(acl)
    has vagrant || ! is_offered vagrant || wanted+=(vagrant)
    install_packages ${wanted[@]+"${wanted[@]}"}
}

for_tests() {
    local wanted=()
    has sshd || wanted+=(openssh-server)
    has pgrep || wanted+=(procps)
    install_packages ${wanted[@]+"${wanted[@]}"}
}

case ${1:-} in
    tests) for_tests ;;
    python) for_python ;;
    lab) for_lab ;;
    which-python) find_python ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
