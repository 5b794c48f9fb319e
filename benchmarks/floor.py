"""The floor, on the controller: the script piped to python3 over paramiko, on all hosts at once. Nothing else.

    python benchmarks/floor.py KEY KNOWN_HOSTS ADDRESS...
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

SCRIPT = Path(__file__).with_name("floor_checks.py").read_bytes()


def check(address: str, key: str, known_hosts: str) -> str:
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.connect(address, username="root", key_filename=key, allow_agent=False, look_for_keys=False)
    stdin, stdout, stderr = client.exec_command("python3 -S -E -")
    stdin.write(SCRIPT)
    stdin.channel.shutdown_write()
    said = stdout.read().decode() + stderr.read().decode()
    client.close()
    return said.strip()


def main() -> int:
    key, known_hosts, *addresses = sys.argv[1:]
    with ThreadPoolExecutor(len(addresses)) as pool:
        said = list(pool.map(lambda address: check(address, key, known_hosts), addresses))
    print("\n".join(said))
    return 0 if set(said) == {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
