"""Role templates: what a secret took part in is a Secret, filters see its text, mistakes have a place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestr.errors import InputError
from orchestr.secret import Secret
from orchestr.templating.render import render_file
from orchestr.templating.values import Scope

Render = Callable[..., Any]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    def render(text: str, variables: dict[str, Any] | None = None, **values: Any) -> Any:
        path = tmp_path / "file.j2"
        path.write_text(text)
        return render_file(path, Scope(None, None, variables or {}), values)

    return render


def test_plain_text_stays_plain(render: Render) -> None:
    """Without a secret the result is text, its last newline kept."""
    assert render("port: {{ port }}\n", port=80) == "port: 80\n"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("p={{ password }}", "p=s3cret"),
        ("p={{ password | to_json }}", 'p="s3cret"'),
        ("p={{ password | upper }}", "p=S3CRET"),
        ("p={{ 'x' ~ password }}", "p=xs3cret"),
        ("p={{ box.password | to_json }}", 'p="s3cret"'),
        ("p={{ box['password'] }}", "p=s3cret"),
        ("{% for key, each in box.items() %}{{ key }}={{ each }};{% endfor %}", "password=s3cret;"),
        ("{% set x = password %}p={{ x }}", "p=s3cret"),
        ("{% if password == 's3cret' %}yes{% endif %}", "yes"),
    ],
)
def test_secrets_are_used_and_taint_the_result(render: Render, template: str, text: str) -> None:
    """However a template reaches a secret it gets the text, and the result is a Secret that hides what was printed."""
    result = render(template, password=Secret("s3cret"), box={"password": Secret("s3cret")})
    assert isinstance(result, Secret)
    assert result.reveal() == text
    assert "s3cret" not in result.redacted().lower()


def test_what_is_no_secret_can_still_be_shown(render: Render) -> None:
    """Only the printed secrets are hidden in a diff, not the whole file."""
    result = render("user: app\npassword: {{ password }}\n", password=Secret("s3cret"))
    assert result.redacted() == "user: app\npassword: ‹secret›\n"


@pytest.mark.parametrize(
    "template",
    [
        "port: {{ port }}\np: {{ password | b64encode }}",
        "port: {{ port }}\np: {{ password | to_json }}",
        "port: {{ port }}\n{% for key, each in box.items() %}{{ key }}: {{ each | to_json }}{% endfor %}",
        "port: {{ port }}\np: {{ ('user:' ~ password) | b64encode }}",
    ],
)
def test_an_encoded_secret_is_hidden_and_its_neighbours_are_not(render: Render, template: str) -> None:
    """Wherever it stands, what a filter made of a secret is hidden in a diff; what is printed beside it is shown."""
    secret = Secret('s3"cret\\')
    masked = render(template, port="7880", password=secret, box={"name": secret}).redacted()
    before, _, hidden = masked.partition("\n")
    assert before == "port: 7880"
    assert hidden in ("p: ‹secret›", "name: ‹secret›")


def test_secrets_of_the_inventory_count_too(render: Render) -> None:
    """A host variable that is a Secret taints like a parameter."""
    assert isinstance(render("{{ token }}", {"token": Secret("abc")}), Secret)


def test_a_secret_cannot_be_smuggled_out(render: Render) -> None:
    """A template cannot call the methods of a Secret."""
    with pytest.raises(InputError):
        render("{{ password.reveal() }}{{ password.parts[0] }}", password=Secret("s3cret", ["s3cret"]))


@pytest.mark.parametrize(
    ("template", "line", "said"),
    [
        ("a\n{{ nothing }}", 2, "nothing"),
        ("a\n\n{% for %}", 3, "malformed"),
        ("{{ x.y.z }}", 1, "y"),
        ("\n{{ 'a' + 1 }}", 2, "TypeError"),
    ],
)
def test_mistakes_have_a_place(render: Render, template: str, line: int, said: str) -> None:
    """An undefined name, a malformed tag or an impossible sum is an InputError with file and line."""
    with pytest.raises(InputError) as caught:
        render(template, x={})
    assert caught.value.line == line
    assert str(caught.value.file).endswith("file.j2")
    assert said in str(caught.value)


def test_a_mistake_in_an_included_file_is_placed_there(render: Render, tmp_path: Path) -> None:
    """The error names the file and the line the mistake is in, not the one that includes it."""
    (tmp_path / "inner.j2").write_text("one\n{{ nothing }}\n")
    with pytest.raises(InputError) as caught:
        render("a\n\n\n{% include 'inner.j2' %}")
    assert (Path(str(caught.value.file)).name, caught.value.line) == ("inner.j2", 2)


BROKEN = {"broken": "{{ nothing }}", "word": "{{ 'w' }}", "db": {"password": Secret("s3cret")}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ word }}", "w"),
        ("{{ broken | default(word) }}", "w"),
        ("{% set word = 'v' %}{% include 'inner.j2' %}", "inner v"),
        ("{% import 'macros.j2' as m with context %}{{ m.shout('a') }}", "A!w"),
        ("{% from 'macros.j2' import whisper %}{{ whisper('A') }}", "a"),
        ("{% extends 'base.j2' %}{% block body %}{{ word }}{{ super() }}{% endblock %}", "<winner w>"),
        ("{% for x in [1, 2] %}{% block scoped scoped %}{{ x }}{{ word }}{% endblock %}{% endfor %}", "1w2w"),
        ("{% set l = [] %}{% set _ = l.append(1) %}{{ l }}", "[1]"),
        ("a{{ none }}b", "ab"),
        ("a{{ [1, 2] | map('string') }}b", "a['1', '2']b"),
    ],
)
def test_a_broken_variable_harms_nobody_else(render: Render, tmp_path: Path, template: str, text: str) -> None:
    """Variables are rendered when a template asks for them, in files it includes, imports or extends too."""
    (tmp_path / "inner.j2").write_text("inner {{ word }}")
    (tmp_path / "base.j2").write_text("<{% block body %}{% include 'inner.j2' %}{% endblock %}>")
    (tmp_path / "macros.j2").write_text(
        "{% macro shout(x) %}{{ x | upper }}!{{ word }}{% endmacro %}"
        "{% macro whisper(x) %}{{ x | lower }}{% endmacro %}"
    )
    assert render(template, BROKEN) == text


def test_a_template_appends_to_its_own_copy(tmp_path: Path) -> None:
    """A list of the inventory is the same after a template has appended to it."""
    (tmp_path / "file.j2").write_text("{% set _ = names.append('b') %}{{ names }}")
    scope = Scope(None, None, {"names": ["a"]})
    assert render_file(tmp_path / "file.j2", scope, {}) == "['a', 'b']"
    assert scope.render("{% set _ = names.append('c') %}{{ names }}") == ["a", "c"]
    assert scope.value("names") == ["a"]


def test_a_suggestion_shows_no_secret(render: Render) -> None:
    """The name that was meant is not told when it is a key made from a secret."""
    with pytest.raises(InputError) as caught:
        render("{{ {password: 1}['s3crets'] }}", password=Secret("s3cret"))
    assert "s3cret" not in str(caught.value).replace("s3crets", "")
