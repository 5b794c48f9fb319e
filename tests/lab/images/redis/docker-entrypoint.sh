#!/bin/sh
# As upstream's: options alone mean redis-server; root hands over to the user redis.
# (the full path of setpriv, because busybox prefers its own, which cannot do this)
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis {} +
    exec /usr/bin/setpriv --reuid redis --regid redis --clear-groups -- "$0" "$@"
fi
exec "$@"
