#!/bin/sh
# As ChatSystem's own: waits until every HOST:PORT of the first argument (joined by commas) takes connections, then
# becomes the command that follows.
set -eu
for place in $(echo "$1" | tr , ' '); do
    until nc -z "${place%:*}" "${place##*:}" 2>/dev/null; do sleep 1; done
done
shift
exec "$@"
