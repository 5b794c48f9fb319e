#!/bin/sh
# As upstream's mysql image: an empty data directory is initialised once (root's password, a database and its user,
# then /docker-entrypoint-initdb.d in name order); one that holds a database is left as it is.
# Each of MYSQL_ROOT_PASSWORD, MYSQL_DATABASE, MYSQL_USER, MYSQL_PASSWORD may come from a file: NAME_FILE.
set -eu
data=/var/lib/mysql

die() { echo "[ERROR] [Entrypoint]: $*" >&2; exit 1; }
from_file() {  # from_file NAME: take it from the file that NAME_FILE names
    eval "file=\${${1}_FILE:-}"
    eval "value=\${${1}:-}"
    [ -z "$file" ] || [ -z "$value" ] || die "both $1 and ${1}_FILE are set (but are exclusive)"
    [ -z "$file" ] || value=$(cat "$file")
    eval "$1=\$value"
    unset "${1}_FILE"
}
quoted() { printf "%s" "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/\\\\'/g"; }  # for a text between '…' in SQL
client() { mariadb --no-defaults --socket=/run/mysqld/init.sock --user=root "$@"; }

initialise() {
    from_file MYSQL_ROOT_PASSWORD
    from_file MYSQL_DATABASE
    from_file MYSQL_USER
    from_file MYSQL_PASSWORD
    [ -n "$MYSQL_ROOT_PASSWORD" ] || die "Database is uninitialized and password option is not specified"
    [ "$MYSQL_USER" != root ] || die "MYSQL_USER=\"root\", MYSQL_USER and MYSQL_PASSWORD are for a regular user"
    mariadb-install-db --user=mysql --datadir=$data --auth-root-authentication-method=normal --skip-test-db >/dev/null
    mariadbd --user=mysql --datadir=$data --skip-networking --socket=/run/mysqld/init.sock &
    server=$!
    until client -e 'SELECT 1' >/dev/null 2>&1; do
        kill -0 $server 2>/dev/null || die "the server for the initialisation did not start"
        sleep 0.2
    done
    root=$(quoted "$MYSQL_ROOT_PASSWORD")
    {
        [ -z "$MYSQL_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\` CHARACTER SET utf8mb4;"
        if [ -n "$MYSQL_USER" ]; then
            echo "CREATE USER '$(quoted "$MYSQL_USER")'@'%' IDENTIFIED BY '$(quoted "$MYSQL_PASSWORD")';"
            [ -z "$MYSQL_DATABASE" ] || echo "GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$(quoted "$MYSQL_USER")'@'%';"
        fi
    } | client
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) echo "[Note] [Entrypoint]: running $file"; client ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} <"$file" ;;
            *.sh) echo "[Note] [Entrypoint]: running $file"; sh "$file" ;;
        esac
    done
    # Last: until now root needs no password, and the server takes no connection from outside.
    {
        echo "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host != 'localhost' OR User = ''; FLUSH PRIVILEGES;"
        echo "CREATE USER 'root'@'%' IDENTIFIED BY '$root'; GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
        echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$root'; SHUTDOWN;"
    } | client
    wait $server || die "the server for the initialisation ended badly"
    echo "[Note] [Entrypoint]: MySQL init process done. Ready for start up."
}

[ "${1#-}" = "$1" ] || set -- mysqld "$@"
if [ "$1" = mysqld ]; then
    mkdir -p $data /run/mysqld
    chown mysql:mysql $data /run/mysqld
    [ -d $data/mysql ] || initialise
    unset MYSQL_ROOT_PASSWORD MYSQL_PASSWORD
    shift
    set -- mysqld --user=mysql --datadir=$data --socket=/run/mysqld/mysqld.sock "$@"
fi
exec "$@"
