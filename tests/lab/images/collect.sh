#!/bin/sh
# Copies from the installed system into /out/{slim,redis,caddy,python} what each image needs to run.
set -eu
. /place.sh

mkdir -p /out/slim/tmp /out/slim/etc /out/slim/usr/bin /out/slim/usr/sbin /out/slim/usr/lib /out/slim/usr/lib64 \
    /out/slim/run /out/slim/proc /out/slim/sys /out/slim/dev /out/slim/root /out/slim/var
chmod 1777 /out/slim/tmp
chmod 700 /out/slim/root
for directory in bin sbin lib lib64; do ln -s "usr/$directory" "/out/slim/$directory"; done
copy slim /bin/busybox /usr/bin/setpriv
for applet in $(busybox --list | grep -v -e '^busybox$' -e '^setpriv$'); do ln -s busybox "/out/slim/usr/bin/$applet"; done
for library in /lib/*-linux-gnu/libnss_files.so.2 /lib/*-linux-gnu/libnss_dns.so.2 /lib/*-linux-gnu/libresolv.so.2 \
    /lib/*-linux-gnu/libpthread.so.0 /lib/*-linux-gnu/libdl.so.2 /lib/*-linux-gnu/libm.so.6; do
    [ ! -e "$library" ] || copy slim "$library"
done
printf 'root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/false\nnobody:x:65534:65534::/:/bin/false\n' \
    >/out/slim/etc/passwd
printf 'root:x:0:\nredis:x:999:\nnogroup:x:65534:\n' >/out/slim/etc/group
echo 'hosts: files dns' >/out/slim/etc/nsswitch.conf
place slim /etc/ssl/certs/ca-certificates.crt
place slim /etc/mime.types 2>/dev/null || true

copy redis /usr/bin/redis-server /usr/bin/redis-cli
mkdir -p /out/redis/data
chown 999:999 /out/redis/data

copy caddy /usr/bin/caddy
# The same place, now with the older program.
cp --preserve=mode,timestamps /tmp/caddy-old/usr/bin/caddy /usr/bin/caddy
copy caddy-old /usr/bin/caddy
for image in caddy caddy-old; do mkdir -p /out/$image/config /out/$image/data /out/$image/srv /out/$image/etc/caddy; done

version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
copy python "/usr/bin/python$version"
ln -s "python$version" /out/python/usr/bin/python3
mkdir -p /out/python/usr/lib/python3/dist-packages
(cd "/usr/lib/python$version" && find . -name __pycache__ -prune -o -type f -print |
    grep -v -E '^\./(test|idlelib|lib2to3|pydoc_data|ensurepip|distutils|tkinter|turtledemo|config-)|_test|/tests?/') |
    while read -r file; do place python "/usr/lib/python$version/$file"; done
for module in /out/python/usr/lib/python"$version"/lib-dynload/*.so; do copy python "${module#/out/python}"; done
(cd /usr/lib/python3/dist-packages/yaml && for file in *.py; do place python "$PWD/$file"; done)
