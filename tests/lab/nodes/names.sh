# shellcheck shell=bash disable=SC2034  # used by those who source it
# Which nodes there are and where; sourced by the lab's scripts. LAB_NODES says how many (5; up to 9).
LAB_NODES=${LAB_NODES:-5}
ALL_NODES=$(seq -f 'lab%g' "$LAB_NODES")
LAB_NETWORK=orchestr-lab
LAB_SUBNET=192.168.56.0/24
LAB_GATEWAY=192.168.56.1

address_of() { echo "192.168.56.1${1#lab}"; }
