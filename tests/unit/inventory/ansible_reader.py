"""What real Ansible says of an inventory: one process imports it once and forks per inventory.

``ansible-inventory`` takes a second to start; this runs the very same command class, many times a second.
As a script: read requests ``{"id": [arguments of ansible-inventory]}`` on stdin, print ``{"id": its output}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def ansible_inventory(requests: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what ``ansible-inventory`` prints for each list of arguments."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment = {**kept, "LC_ALL": "C.UTF-8", "HOME": tempfile.gettempdir()}
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({name: list(arguments) for name, arguments in requests.items()}),
        capture_output=True,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),
        timeout=600,  # only a hang takes so long
        check=True,
    )
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


def _answer(arguments: list[str]) -> str:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "output"
        child = os.fork()
        if child == 0:
            _run(arguments, output)
        os.waitpid(child, 0)
        return output.read_text(encoding="utf-8") if output.exists() else ""


def _run(arguments: list[str], output: Path) -> None:
    from ansible.cli.inventory import InventoryCLI

    os.dup2(2, 1)
    try:
        InventoryCLI(["ansible-inventory", *arguments, "--output", str(output)]).run()
    except SystemExit:
        pass
    finally:
        os._exit(0)


if __name__ == "__main__":
    import ansible.cli.inventory  # noqa: F401 - imported here once, for all the forks

    asked = json.load(sys.stdin)
    print(json.dumps({name: _answer(arguments) for name, arguments in asked.items()}))
