"""Files of variables: what is written is read back, and any file that is there gives a diff without its values."""

from __future__ import annotations

import subprocess
from typing import Any

from hypothesis import strategies as st

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.resources import env_grammars
from orchestr.resources.env_files import EnvFile
from orchestr.secret import Secret
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.fuzz.effort import altered, fuzz, read_within_limits

READERS = st.sampled_from(sorted(env_grammars.GRAMMARS))
WORDS = ["export ", "=", "\n", "'", '"', "\\", "$", "${A}", "`", "#", "A=", " ", "\r\n", ".", "-", "\x00"]
SEEDS = ["A=1\nexport B='two words'\n# C=3\nD=\"x\\ny\"\n", "PASSWORD=old-secret\nA=1\n", ""]
NAMES = st.sampled_from(["A", "B_2", "_x", "spring.url", "ETCD-NAME", "1A", "", "A=B", "Ä"]) | st.text(max_size=4)
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=5).map("".join)


@fuzz(READERS, st.dictionaries(NAMES, TEXTS | st.integers() | st.booleans() | st.none(), max_size=4), examples=80)
def test_any_variables_are_a_file_or_a_value_error(reader: str, variables: dict[str, Any]) -> None:
    """The error names a key and never a value."""
    made = read_within_limits(lambda: EnvFile.of("/etc/app.env", variables, reader=reader), ValueError)
    if made is None:
        return
    lines = made.variables
    assert [key for key, _ in lines] == list(variables)


def _content(made: EnvFile) -> str:
    host = MemoryHost()
    result = converge(Task(made), MemorySystem(host), False, False)
    assert result["verdict"] == "changed", result
    return bytes(host.nodes[made.path].data).decode()


SHELL_NAMES = st.from_regex(r"X_[A-Z0-9_]{1,4}", fullmatch=True)


@fuzz(st.dictionaries(SHELL_NAMES, TEXTS, min_size=1, max_size=4), examples=15)
def test_a_real_shell_reads_back_every_value(variables: dict[str, str]) -> None:
    """``set -a; . FILE`` of this machine's shell; values it cannot hold are refused when the file is made."""
    made = read_within_limits(lambda: EnvFile.of("/etc/app.env", variables, reader="shell"), ValueError)
    if made is None:
        return
    names = " ".join(f'"${{{name}}}"' for name in variables)
    script = f"set -a\n{_content(made)}\nprintf '%s\\0' {names}"
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(variables.values())


@fuzz(st.dictionaries(SHELL_NAMES, TEXTS, max_size=4), examples=100)
def test_docker_reads_back_every_value(variables: dict[str, str]) -> None:
    """``docker run --env-file`` takes everything after the first ``=`` up to the line's end."""
    made = read_within_limits(lambda: EnvFile.of("/etc/app.env", variables, reader="docker"), ValueError)
    if made is not None:
        lines = [line.removesuffix("\r") for line in _content(made).split("\n")[:-1]]
        assert dict(line.split("=", 1) for line in lines) == variables


@fuzz(altered(SEEDS, WORDS), READERS, examples=80)
def test_any_file_that_is_there_gives_a_diff_without_secrets(text: str, reader: str) -> None:
    """A value of the old file is shown only for keys that are now in clear, never the secret's."""
    host = MemoryHost()
    host.add_file("/etc/app.env", text.encode("utf-8", "surrogatepass"))
    wanted = EnvFile.of("/etc/app.env", {"A": "1", "PASSWORD": Secret("new-secret")}, reader=reader)
    result = read_within_limits(lambda: converge(Task(wanted), MemorySystem(host, read_only=True), True, False))
    assert result["verdict"] == "changed", result
    assert "new-secret" not in result["diff"] and "PASSWORD=old-secret" not in result["diff"]
