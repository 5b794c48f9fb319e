"""Non-interference: what a template shows openly is the same whatever the secrets in it are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestr.errors import InputError
from orchestr.inventory.load import load_inventory
from orchestr.secret import REDACTED, Secret
from orchestr.templating.render import render_file
from orchestr.templating.taint import reveal_all
from orchestr.templating.values import Scope

ONE, OTHER = "canary-7f3a", "Sparow+4k9z"
VARIABLES = {
    "p": "CANARY",
    "db": {"user": "ada", "password": "CANARY", "deep": [{"key": "CANARY"}]},
    "all_of_them": ["CANARY", "plain", "CANARY"],
    "url": "redis://:{{ p }}@host/0",
    "copied": "{{ db }}",
    "mapped": "{{ all_of_them | map('upper') }}",
    "number": 7,
    "word": "plain",
}
SOURCES = [
    "p", "db.password", "db['password']", "db", "db.deep", "db.deep[0].key", "all_of_them", "all_of_them[0]", "url",
    "(all_of_them | last)", "copied", "copied.password", "mapped", "hostvars.h.p", "hostvars['h'].db.password",
    "(hostvars.h.values() | list)", "number", "word", "(['x'] + all_of_them)", "(all_of_them + ['x'])",
    "(all_of_them * 2)", "(db.deep | map(attribute='key') | list)", "dict(db)", "[p, word]", "{'k': p, 'n': number}",
    "{p: 1}", "{word: p}", "(p, word)", "(p ~ word)", "('%s' % p)", "(p == 'canary-7f3a')",
    "('canary-7f3a' in all_of_them)", "(word if p == 'canary-7f3a' else number)",
    "lookup('env', 'ORCHESTR_NOTHING_SUCH', default=p)", "p[2:5]", "p[0]", "(p ~ '{\"a\": 1}')",
    "('{\"a\": \"' ~ p ~ '\"}')", "('{\"' ~ p ~ '\": 1}')", "namespace(a=p).a",
]  # fmt: skip
# What is lazy is made a list at once: as a text it would be its address. The examples have it as it is.
FILTERS = [
    "upper", "lower", "title", "capitalize", "trim", "string", "length", "list", "first", "last", "sort",
    "unique | list", "reverse | list", "b64encode", "hash", "hash('sha256')", "to_json", "to_nice_json", "to_yaml",
    "to_nice_yaml", "tojson", "from_json", "from_yaml", "quote", "urlencode", "e", "pprint", "wordcount", "int",
    "float", "bool", "default('x')", "default(p)", "mandatory", "ternary('a', 'b')", "ternary(p, 'b')",
    "replace('a', 'b')", "replace('c', p)", "truncate(5)", "center(20)", "format('x')",
    "regex_replace('(.)', '\\\\1-')", "regex_search('.n.')", "join('-')", "join(p)", "map('upper') | list",
    "map('length') | list", "map('default', p) | list", "select | list", "reject | list", "batch(2) | list",
    "slice(2) | list", "combine({'more': 1})", "combine({'more': p})", "dict2items", "items | list", "dictsort",
    "sum(start='')", "max", "min", "basename", "dirname", "indent(2)", "wordwrap(4)", "xmlattr", "groupby(0)",
    "map(attribute='key') | list", "attr('_text')", "attr('reveal')", "map(attribute='_text') | list",
    "map(attribute='parts') | list", "extract(db)", "count",
]  # fmt: skip
SHAPES = [
    "{{ # }}", "a{{ # }}b", "{{ word }}{{ # }}{{ number }}", "{% if # %}yes{% else %}no{% endif %}",
    "{% if # == 'canary-7f3a' %}yes{% endif %}", "{% for x in # %}{{ x }},{% endfor %}", "{% set x = # %}{{ x }}",
    "{% for x in # %}{{ loop.index }}{% endfor %}", "{% set x %}{{ # }}{% endset %}{{ x | upper }}", "{{ [#] }}",
    "{% macro m(a) %}-{{ a }}{% endmacro %}{{ m(#) | upper }}", "{{ {'k': #} }}", "{{ {#: 'v'} }}", "{{ # ~ word }}",
    "{% filter upper %}{{ # }}{% endfilter %}", "{{ # == word }}", "{{ # is string }}", "{{ 'x' if # else 'y' }}",
    "{% for x in # %}{% if x == 'canary-7f3a' %}found{% endif %}{% endfor %}", "{{ '{{' ~ # ~ '}}' }}",
]  # fmt: skip

expressions = st.builds(lambda source, filters: " | ".join([source, *filters]), st.sampled_from(SOURCES),
                        st.lists(st.sampled_from(FILTERS), max_size=4))  # fmt: skip
templates = st.builds(lambda shape, text: shape.replace("#", text), st.sampled_from(SHAPES), expressions)


def _variables(secret: Any, value: Any = VARIABLES) -> Any:
    if isinstance(value, dict):
        return {key: _variables(secret, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_variables(secret, each) for each in value]
    return secret if value == "CANARY" else value


def _scope(secret: Any) -> Scope:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "i.yml"
        path.write_text("all: {hosts: {h: }}")
        return load_inventory(path, extra_vars=_variables(secret)).scope("h")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _shown(value: Any) -> list[str]:
    """What a result shows openly. A boolean is one bit, and None nothing: they stay what they are."""
    return [repr(each) for each in _leaves(value) if not isinstance(each, (Secret, bool)) and each is not None]


def _redacted(value: Any) -> list[str]:
    """What a diff shows of the secrets in a result."""
    return [each.redacted() for each in _leaves(value) if isinstance(each, Secret)]


def _opened(value: Any) -> list[str]:
    return [each.reveal() if isinstance(each, Secret) else str(each) for each in _leaves(value)]


def _evaluated(template: str, secret: Any) -> Any:
    try:
        return _scope(secret).render(template)
    except InputError as problem:
        return problem


@settings(max_examples=250, deadline=None)
@given(templates)
@example("{{ {p | upper: 1} }}")
@example("{{ all_of_them | map('upper') }}")
@example("{{ all_of_them | last | upper }}")
@example("{{ hostvars.h.values() | map('upper') }}")
@example("{{ db | string }}")
@example("{{ db ~ word }}")
@example("{{ hostvars.h }}")
@example("{{ {p | min: 1} }}")
@example("a{{ p | regex_search('.n.') }}b")
@example("{{ [db.deep | map(attribute='key')] }}")
@example("{{ hostvars.h.values() }}")
@example("{{ ('{\"a\": \"' ~ p ~ '\"}') | from_json }}")
def test_variables_show_nothing_of_a_secret(template: str) -> None:
    """Two inventories that differ in their secrets alone show the same, and each result is what plain texts give.

    Nor does an error show it, and what a diff would show is the same too.
    """
    one, other = _evaluated(template, Secret(ONE)), _evaluated(template, Secret(OTHER))
    for problem in (one, other):
        if isinstance(problem, InputError):
            assert ONE in template or ONE not in str(problem)  # who wrote it into the template knows it
            assert OTHER not in str(problem)
    if isinstance(one, InputError):
        return
    if any(" at 0x" in text.lower() for text in _opened(one)):  # a generator, printed by its address
        return
    if not isinstance(other, InputError):
        assert _shown(one) == _shown(other)
    for text in (*_shown(one), *_redacted(one)):
        assert ONE not in text.lower()
    if "hostvars.h" in template:  # it has all variables: in the other inventory those are texts, not templates
        return
    plain = _evaluated(template, ONE)
    assert not isinstance(plain, InputError), plain
    assert _opened(one) == _opened(plain)


def _rendered(template: str, secret: Any) -> Any:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "inner.j2").write_text("inner {{ p | default('') }}\n")
        path = Path(directory) / "t.j2"
        path.write_text(template)
        try:
            return render_file(path, _scope(secret), {})
        except InputError as problem:
            return problem


@settings(max_examples=250, deadline=None)
@given(st.lists(st.one_of(templates, st.sampled_from(["{% include 'inner.j2' %}", "line\n"])), min_size=1, max_size=3))
@example(["{% filter upper %}{{ p }}{% endfilter %}"])
@example(["{% if p == 'canary-7f3a' %}yes{% endif %}"])
@example(["{% include 'inner.j2' %}"])
@example(["{{ all_of_them | last | upper }}"])
@example(["{% for x in p %}{{ x | upper }}{% endfor %}"])
def test_role_templates_show_nothing_of_a_secret(pieces: list[str]) -> None:
    """A text that a secret took part in is a Secret, and what a diff shows of it has nothing of the secret."""
    template = "\n".join(pieces)
    one, other = _rendered(template, Secret(ONE)), _rendered(template, Secret(OTHER))
    for result in (one, other):
        if isinstance(result, InputError):
            assert ONE in template or ONE not in str(result)
            return
    if any(" at 0x" in str(reveal_all(each)).lower() for each in (one, other)):  # a generator, printed by its address
        return
    assert isinstance(one, Secret) or one == other
    plain = _rendered(template, ONE)
    text = one.reveal() if isinstance(one, Secret) else one
    assert text == plain, template
    if isinstance(one, Secret):
        assert ONE not in one.redacted().lower().replace(REDACTED, "")
