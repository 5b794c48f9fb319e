#!/bin/sh
# Copies from the installed system into /out/{etcd,mysql,rabbitmq,chat} what each image needs beyond the slim one.
set -eu
. /place.sh

etcd() {
    copy etcd /usr/bin/etcd /usr/bin/etcdctl
    mkdir -p /out/etcd/var/lib/etcd
}

mysql() {
    copy mysql /usr/sbin/mariadbd /usr/bin/mariadb /usr/bin/mariadb-dump /usr/bin/mariadb-admin \
        /usr/bin/my_print_defaults /usr/bin/resolveip
    place mysql /usr/bin/mariadb-install-db
    for name in fill_help_tables.sql maria_add_gis_sp_bootstrap.sql mysql_performance_tables.sql mysql_sys_schema.sql \
        mysql_system_tables.sql mysql_system_tables_data.sql mysql_test_db.sql english/errmsg.sys; do
        place mysql "/usr/share/mysql/$name"
    done
    for file in /usr/share/mysql/charsets/*; do place mysql "$file"; done
    # The upstream names, of which MariaDB's are the successors.
    ln -s mariadbd /out/mysql/usr/sbin/mysqld
    for name in dump admin; do ln -s "mariadb-$name" "/out/mysql/usr/bin/mysql$name"; done
    ln -s mariadb /out/mysql/usr/bin/mysql
    mkdir -p /out/mysql/var/lib/mysql /out/mysql/run/mysqld /out/mysql/etc/mysql/conf.d \
        /out/mysql/docker-entrypoint-initdb.d /out/mysql/usr/lib/mysql/plugin
    printf '[mysqld]\nuser = mysql\nskip-name-resolve\nbind-address = *\n!includedir /etc/mysql/conf.d/\n' \
        >/out/mysql/etc/mysql/my.cnf
    account mysql mysql 999 /var/lib/mysql
    chown 999:999 /out/mysql/var/lib/mysql /out/mysql/run/mysqld
}

rabbitmq() {
    mkdir -p /out/rabbitmq/usr/lib /out/rabbitmq/usr/sbin /out/rabbitmq/usr/bin
    cp -a /usr/lib/erlang /usr/lib/rabbitmq /out/rabbitmq/usr/lib/
    rm -rf /out/rabbitmq/usr/lib/erlang/lib/*/src /out/rabbitmq/usr/lib/erlang/usr/include
    find /out/rabbitmq/usr/lib/erlang/bin /out/rabbitmq/usr/lib/erlang/erts-* /out/rabbitmq/usr/lib/erlang/lib \
        -type f \( -perm -100 -o -name '*.so' \) | while read -r file; do copy rabbitmq "${file#/out/rabbitmq}"; done
    for name in erl erlc escript epmd; do ln -s "../lib/erlang/bin/$name" "/out/rabbitmq/usr/bin/$name"; done
    for name in server ctl plugins diagnostics; do
        case $name in ctl) name=rabbitmqctl ;; *) name=rabbitmq-$name ;; esac
        ln -s "../lib/rabbitmq/bin/$name" "/out/rabbitmq/usr/sbin/$name"
    done
    mkdir -p /out/rabbitmq/var/lib/rabbitmq /out/rabbitmq/var/log/rabbitmq /out/rabbitmq/etc/rabbitmq/conf.d
    printf '[rabbitmq_management].\n' >/out/rabbitmq/etc/rabbitmq/enabled_plugins
    account rabbitmq rabbitmq 999 /var/lib/rabbitmq
    chown -R 999:999 /out/rabbitmq/var/lib/rabbitmq /out/rabbitmq/var/log/rabbitmq /out/rabbitmq/etc/rabbitmq
}

elasticsearch() {
    mkdir -p /out/elasticsearch/usr/share/elasticsearch/data
    account elasticsearch elasticsearch 1000 /usr/share/elasticsearch
    chown -R 1000:0 /out/elasticsearch/usr/share/elasticsearch/data
}

chat() {
    mkdir -p /out/chat/im/logs /out/chat/im/data /out/chat/im/conf
    # As upstream's, a real sh and nc: busybox's nc has no -z, and its sh prefers that one.
    copy chat /bin/nc.openbsd /bin/dash
    ln -s dash /out/chat/usr/bin/sh
    mkdir -p /out/chat/usr/local/bin
    ln -s /usr/bin/nc.openbsd /out/chat/usr/local/bin/nc
    for package in pika pymysql; do
        (cd /usr/lib/python3/dist-packages && find $package -name '*.py') |
            while read -r file; do place chat "/usr/lib/python3/dist-packages/$file"; done
    done
}

account() {  # account IMAGE NAME ID HOME
    mkdir -p "/out/$1/etc"
    printf 'root:x:0:0:root:/root:/bin/sh\n%s:x:%s:%s::%s:/bin/false\nnobody:x:65534:65534::/:/bin/false\n' \
        "$2" "$3" "$3" "$4" >"/out/$1/etc/passwd"
    printf 'root:x:0:\n%s:x:%s:\nnogroup:x:65534:\n' "$2" "$3" >"/out/$1/etc/group"
}

# Libraries that the slim image holds already are not copied again.
mkdir -p /out/slim/usr/lib
for library in /lib/*-linux-gnu/libc.so.6 /lib/*-linux-gnu/libm.so.6 /lib/*-linux-gnu/libpthread.so.0 \
    /lib/*-linux-gnu/libdl.so.2 /lib/*-linux-gnu/libresolv.so.2 /lib64/ld-linux-*.so.2; do
    [ ! -e "$library" ] || place slim "$library"
done
etcd
mysql
rabbitmq
elasticsearch
chat
