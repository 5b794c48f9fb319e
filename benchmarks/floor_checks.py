"""The floor, on a host: the same forty checks as benchmarks/project, in one plain script of the standard library."""

import hashlib
import os
import stat
import subprocess

wrong = []


def expect(what, holds):
    if not holds:
        wrong.append(what)


for number in range(10):
    path = "/opt/bench/%d" % number
    found = os.lstat(path)
    is_owned = found.st_uid == found.st_gid == 0
    expect(path, stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o750 and is_owned)
for number in range(10):
    path = "/opt/bench/%d/file" % number
    found = os.lstat(path)
    with open(path, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    wanted = hashlib.sha256(("line %d\n" % number * 50).encode()).hexdigest()
    expect(path, digest == wanted and stat.S_IMODE(found.st_mode) == 0o640 and found.st_uid == found.st_gid == 0)
for number in range(5):
    path = "/opt/bench/lines-%d" % number
    with open(path) as stream:
        expect(path, "setting = %d" % number in stream.read().splitlines())


def output(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout.decode()


installed = output("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", "sudo", "curl", "procps").split("\n")
for name in ("sudo", "curl", "procps"):
    expect(name, name + " installed" in installed)
units = output("systemctl", "show", "-p", "ActiveState,UnitFileState", "ssh", "docker").split("\n\n")
for name, shown in zip(("ssh", "docker"), units):
    expect(name, "ActiveState=active" in shown and "UnitFileState=enabled" in shown)
rules = output("iptables-save")
for number in range(10):
    expect("port %d" % (20000 + number), "--dport %d -j ACCEPT" % (20000 + number) in rules)
print("wrong: %s" % ", ".join(wrong) if wrong else "ok")
