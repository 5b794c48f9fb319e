#!/bin/bash
# Makes, once per lab, under build/lab: the key nodes are reached with (id_ed25519), the operator's
# password (operator_password), each node's host key (identity/NAME) and known_hosts, which is written
# from those very host keys: nothing is learnt over the network, so nothing has to be believed.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tests/lab/nodes/names.sh
umask 077
mkdir -p build/lab/identity

if [ ! -f build/lab/id_ed25519 ]; then
    ssh-keygen -q -t ed25519 -N '' -C orchestr-lab -f build/lab/id_ed25519
fi
if [ ! -f build/lab/operator_password ]; then
    openssl rand -hex 16 >build/lab/operator_password.new
    mv build/lab/operator_password.new build/lab/operator_password
fi
for node in $ALL_NODES; do
    identity=build/lab/identity/$node
    [ -f "$identity/operator.chpasswd" ] && continue
    mkdir -p "$identity"
    ssh-keygen -q -t ed25519 -N '' -C "$node" -f "$identity/ssh_host_ed25519_key" <<<y >/dev/null
    cp build/lab/id_ed25519.pub "$identity/authorized_keys"
    printf 'operator:%s\n' "$(openssl passwd -6 -stdin <build/lab/operator_password)" >"$identity/operator.chpasswd"
done
for node in $ALL_NODES; do
    printf '%s,%s %s\n' "$node" "$(address_of "$node")" \
        "$(cut -d' ' -f1,2 "build/lab/identity/$node/ssh_host_ed25519_key.pub")"
done >build/lab/known_hosts.new
mv build/lab/known_hosts.new build/lab/known_hosts
