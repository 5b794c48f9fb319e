"""Templates: any text is rendered or is an InputError, and no secret of it gets into the error."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from orchestr.errors import InputError
from orchestr.inventory import resolve
from orchestr.secret import Secret
from orchestr.templating.environment import environment
from orchestr.templating.render import render_file
from orchestr.templating.values import Scope
from tests.fuzz.effort import altered, fuzz, read_within_limits, write

VARIABLES: Mapping[str, Any] = {
    "s": "some text", "n": 7, "f": 1.5, "l": [3, 1, 2], "d": {"a": 1, "b": {"c": [1]}}, "none": None, "t": True,
    "bytes_like": "\ud800", "circle": "{{ circle }}", "bad": "{{ ( }}", "secret": Secret("hunter22"),
}  # fmt: skip
SEEDS = [
    "{{ s }}", "{{ n + 1 }}", "{{ l | map('string') | join(',') }}", "{% for i in l %}{{ i }}{% endfor %}",
    "{{ d.b.c[0] }}", "{{ s | regex_replace('(t)', '\\1') }}", "{{ lookup('env', 'HOME') }}", "a {{ secret }} b",
    "{{ d | to_nice_yaml }}", "{% set x = l %}{% if x is defined %}{{ x[-1] }}{% else %}{{ none }}{% endif %}",
    "{{ '%s' % s }}", "{{ 'x' ~ n }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(s) }}",
    "{{ [s, n] | zip(l) | list }}", "{{ circle }}", "{{ now() }}",
]  # fmt: skip
WORDS = [
    "{{ ", " }}", "{% ", " %}", "{#", "#}", "| ", "s", "n", "l", "d", "none", "secret", "circle", "bad", "(", ")", "[",
    "]", ".", "'", '"', ", ", "+", "-", "//", "%", "~", " in ", " is ", " not ", " if ", " else ", "for x in l",
    "set x =", "\\", "omit", "lookup('file', '/nope')", "query('env', 'HOME')", "__class__", ".__init__", "range(3)",
    "loop", "self", "raw", "caller()", "include 'x'", "extends 'x'", "import 'x' as y", "call m()", "d.items()",
    "s.format(n)", "-1", "0", "1e9",
]  # fmt: skip
ARGUMENTS = [
    "",
    "0",
    "-1",
    "'('",
    "'a'",
    "none",
    "l",
    "d",
    "s",
    "'\\1'",
    "secret",
    "undefined_name",
    "true",
    "1, 2",
    "'%', d",
]
#: Not tried: programs and files of this machine, and results as large as their argument says.
NOT_TRIED = {"indent", "center", "wordwrap", "pow", "batch", "slice", "password_hash", "permutations", "product"}


@functools.cache
def _functions() -> list[str]:
    return sorted(name for name in environment().filters if name.split(".")[-1] not in NOT_TRIED)


def _calls() -> st.SearchStrategy[str]:
    """Return expressions: a value through one or two filters, or asked by a test, with any arguments."""
    values = st.sampled_from(
        ["s", "n", "f", "l", "d", "none", "t", "secret", "bytes_like", "'(a|b'", "[d]", "[l]", "{}", "''"]
    )
    filters = st.builds("{}({})".format, st.sampled_from(_functions()), st.sampled_from(ARGUMENTS))
    tests = st.builds("{}({})".format, st.sampled_from(sorted(environment().tests)), st.sampled_from(ARGUMENTS))
    through = st.builds("{} | {}".format, values, filters)
    asked = st.builds("{} is {}".format, values, tests)
    twice = st.builds("{} | {} | {}".format, values, filters, filters)
    return st.builds("{{{{ {} }}}}".format, through | asked | twice)


def _check(text: str) -> None:
    try:
        value = resolve(text, VARIABLES)
        if isinstance(value, Secret):
            value.reveal()
    except InputError as error:
        assert "hunter22" not in str(error) and "unter22" not in str(error)


@fuzz(altered(SEEDS, WORDS), examples=120)
def test_any_text_is_rendered_or_an_input_error(text: str) -> None:
    """Templates with mistakes in them: any place, any kind."""
    read_within_limits(lambda: _check(text))


@fuzz(_calls(), examples=120)
def test_any_call_of_a_filter_or_test_gives_a_value_or_an_input_error(text: str) -> None:
    """Values and arguments of types that the function does not take."""
    read_within_limits(lambda: _check(text))


@fuzz(altered(SEEDS, WORDS), examples=60)
def test_any_file_is_rendered_or_an_input_error(tmp_path: Path, text: str) -> None:
    """Files have includes, blocks and lines of their own; the error names one."""
    path = write(tmp_path / "x.j2", text)
    result = read_within_limits(lambda: render_file(path, Scope(None, None, VARIABLES), {}), InputError)
    assert result is None or isinstance(result, (str, Secret))


@fuzz(st.text(alphabet=st.characters(exclude_characters="{}#%"), max_size=30), examples=60)
def test_a_text_without_template_stays_as_it_is(text: str) -> None:
    """Nothing is changed that is no template, line ends included."""
    assert resolve(text, VARIABLES) == text


DEEP = [
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{{ " + "not " * 3000 + "1 }}",
]


@pytest.mark.parametrize("text", DEEP, ids=("brackets", "blocks", "operators"))
def test_nesting_without_end_is_an_input_error(tmp_path: Path, text: str) -> None:
    """Deeper than Python can go, in a variable and in a file."""
    for render in (
        lambda: resolve(text, {}),
        lambda: render_file(write(tmp_path / "x.j2", text), Scope(None, None, {}), {}),
    ):
        with pytest.raises(InputError, match="nested too deeply"):
            render()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ s | truncate(0) }}", "expected length >= 3"),  # Jinja2 asserts it
        ("{{ [d] | map(attribute=nope) | list }}", "'nope' is not defined"),
    ],
)
def test_faults_that_were_found(text: str, says: str) -> None:
    """Errors that passed as a fault of orchestr's own."""
    with pytest.raises(InputError, match=says):
        resolve(text, VARIABLES)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Not UTF-8, or not to be read."""
    (tmp_path / "x.j2").write_bytes(b"a \xe9")
    with pytest.raises(InputError, match=r"x\.j2: is not UTF-8 text \(byte 3\)"):
        render_file(tmp_path / "x.j2", Scope(None, None, {}), {})
