#!/bin/bash
# Makes a Debian 12 system a lab node: runs as root, in the image build and in a virtual machine.
# usage: provision.sh [EXTRA_PACKAGE...]
# systemd stays bookworm's 252 (256 and later refuse cgroup v1); Docker and compose v2 come from trixie, where
# they need nothing newer than bookworm's libc, pinned so that nothing else does.
set -euo pipefail
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive

cp -r root/. /
apt-get update
if [ ! -e /etc/apt/sources.list.d/trixie.list ]; then
    # shellcheck disable=SC2016  # the dollars are apt's
    mirror=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        awk -F'|' '$1 == "Debian" {sub("/$", "", $2); print $2; exit}')
    echo "deb $mirror trixie main" >/etc/apt/sources.list.d/trixie.list
    apt-get update
fi
apt-get install -y --no-install-recommends \
    systemd systemd-sysv dbus openssh-server python3 sudo iproute2 iputils-ping netcat-openbsd \
    iptables nftables ufw firewalld curl procps kmod ca-certificates less docker.io docker-cli docker-compose "$@"

id vagrant >/dev/null 2>&1 || useradd --create-home --shell /bin/bash vagrant
id operator >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --gid operator --groups sudo operator
chmod 0440 /etc/sudoers.d/lab
visudo -cq
systemctl disable firewalld.service  # as ufw: there, and off
systemctl enable ssh.service docker.service lab-identity.service
