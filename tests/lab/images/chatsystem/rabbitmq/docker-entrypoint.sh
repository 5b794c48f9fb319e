#!/bin/sh
# As upstream's rabbitmq image: root hands over to the user rabbitmq, who owns the data; settings come from
# /etc/rabbitmq/rabbitmq.conf and conf.d. (the full path of setpriv: busybox prefers its own, which cannot do this)
set -e
if [ "$1" = rabbitmq-server ] && [ "$(id -u)" = 0 ]; then
    for name in RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_DEFAULT_USER_FILE RABBITMQ_VM_MEMORY_HIGH_WATERMARK; do
        eval "value=\${$name:-}"
        [ -z "$value" ] || { echo "error: $name is set but deprecated; use rabbitmq.conf" >&2; exit 1; }
    done
    find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq {} +
    exec /usr/bin/setpriv --reuid rabbitmq --regid rabbitmq --clear-groups -- "$0" "$@"
fi
export RABBITMQ_LOGS=-
program=/usr/lib/rabbitmq/bin/$1
shift
exec "$program" "$@"
