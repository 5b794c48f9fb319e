"""The filters, tests and functions of ansible-core give what they give in Ansible, or are refused by name."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from orchestr.errors import InputError
from orchestr.inventory import load_inventory, resolve
from orchestr.templating import unsupported
from orchestr.templating.environment import environment

ROOT = Path(__file__).resolve().parents[3]
VARIABLES: dict[str, Any] = {
    "s": "Some text, 3 words", "lines": "one\n\nthree", "l": [3, 1, 2, 3], "words": ["b", "a", "b"], "n": None,
    "one": {"a": 1, "in": {"x": [1, 2], "y": 1}, "l": [1, 2]}, "two": {"b": 2, "in": {"x": [2, 3]}, "l": [2, 3]},
    "users": [{"name": "ada", "keys": ["k1", "k2"], "id": 7}, {"name": "bob", "keys": [], "id": 8}],
    "url": "https://u:p@example.org:8443/a/b?q=1#f", "v": "1.10.2", "nested": [1, [2, [3, [4]]], None],
    "path": "/etc/nginx/nginx.conf", "d": {"k": [1, 2], "e": {}},
}  # fmt: skip
LIST_MERGES = ("replace", "keep", "append", "prepend", "append_rp", "prepend_rp")
TEMPLATES = [
    *(f"{{{{ one | combine(two, list_merge='{how}') }}}}" for how in LIST_MERGES),
    *(f"{{{{ one | combine(two, list_merge='{how}', recursive=true) }}}}" for how in LIST_MERGES),
    "{{ [one, two] | combine }}", "{{ one | combine(two, {'a': 9}) }}", "{{ one | combine([two, {'a': 9}]) }}",
    "{{ s | regex_search('(\\w+) text, (\\d)', '\\1', '\\2') }}", "{{ s | regex_search('zzz') }}",
    "{{ s | regex_search('zzz', '\\1') }}", "{{ s | regex_search('(?P<n>\\d)', '\\g<n>') }}",
    "{{ s | regex_search('SOME', ignorecase=true) }}", "{{ lines | regex_search('^three', multiline=True) }}",
    "{{ s | regex_findall('\\\\w+') }}", "{{ s | regex_findall('(\\\\w)(\\\\w)') }}", "{{ 'a.b*c' | regex_escape }}",
    "{{ 'a.b*c' | regex_escape('posix_basic') }}", "{{ s | regex_replace('t', 'T', count=1) }}",
    "{{ s | regex_replace('T', 'x', ignorecase=True) }}", "{{ lines | regex_replace('^', '# ', multiline=True) }}",
    "{{ users | items2dict(key_name='name', value_name='id') }}",
    "{{ one | dict2items(key_name='k', value_name='w') }}",
    "{{ one | to_nice_yaml(width=20, sort_keys=False) }}", "{{ one | to_nice_yaml(indent=2) }}",
    "{{ one | to_yaml(sort_keys=False) }}", "{{ one | to_nice_json(indent=2, sort_keys=False) }}",
    "{{ one | to_json(ensure_ascii=False) }}", "{{ d | to_nice_yaml }}", "{{ 'a: 1\n---\nb: 2' | from_yaml_all }}",
    "{{ nested | flatten }}", "{{ nested | flatten(levels=1) }}", "{{ nested | flatten(skip_nulls=False) }}",
    "{{ users | subelements('keys') }}", "{{ users | subelements('nope', skip_missing=True) }}",
    "{{ users | rekey_on_member('name') }}", "{{ [1, 2] | zip(['a', 'b']) }}", "{{ [1] | zip_longest([3, 4]) }}",
    "{{ [1, 2] | product([3, 4]) }}", "{{ l | unique }}", "{{ [[1], [1]] | unique }}", "{{ [1, 2] | permutations }}",
    "{{ [1, 2, 3] | combinations(2) }}", "{{ ['A', 'a'] | unique(case_sensitive=true) }}",
    "{{ [1, 2] | union([2, 3]) | sort }}", "{{ [1, 2] | intersect([2, 3]) | sort }}",
    "{{ [1, 2] | difference([2, 3]) | sort }}", "{{ [1, 2] | symmetric_difference([2, 3]) | sort }}",
    "{{ 8 | log(2) }}", "{{ 100 | log(10) }}", "{{ 2 | pow(3) }}", "{{ 27 | root(3) }}", "{{ 16 | root }}",
    "{{ 1536 | human_readable }}", "{{ 1 | human_readable }}", "{{ 1536 | human_readable(isbits=True) }}",
    "{{ 5000000 | human_readable(unit='K') }}", "{{ '1.5 MB' | human_to_bytes }}", "{{ '10M' | human_to_bytes }}",
    "{{ 10 | human_to_bytes('k') }}", "{{ '2 kilobyte' | human_to_bytes }}",
    "{{ '1Mb' | human_to_bytes(isbits=true) }}",
    "{{ url | urlsplit }}", "{{ url | urlsplit('port') }}", "{{ 'a%20b+c' | urldecode }}", "{{ url | urlencode }}",
    "{{ path | basename }}", "{{ path | dirname }}", "{{ path | splitext }}", "{{ ['/a', 'b', '/c'] | path_join }}",
    "{{ '/a/../b/./c' | normpath }}", "{{ ['/a/b/c', '/a/b/d'] | commonpath }}", "{{ '/a/b' | relpath('/a/c') }}",
    "{{ '~root/x' | expanduser }}", "{{ '$ORCHESTR_TEST_SET/x' | expandvars }}",
    "{{ 'C:\\\\a\\\\b.txt' | win_basename }}",
    "{{ 'C:\\\\a\\\\b.txt' | win_dirname }}", "{{ 'C:\\\\a' | win_splitdrive }}", "{{ '/etc/./passwd' | realpath }}",
    "{{ s | split }}", "{{ s | split(', ') }}", "{{ s | split(' ', 1) }}", "{{ s | quote }}", "{{ n | quote }}",
    "{{ s | hash('md5') }}", "{{ s | md5 }}", "{{ s | sha1 }}", "{{ s | checksum }}", "{{ s | to_uuid }}",
    "{{ s | to_uuid(namespace='6ba7b810-9dad-11d1-80b4-00c04fd430c8') }}", "{{ s | b64encode(urlsafe=True) }}",
    "{{ '//4=' | b64decode(encoding='utf-16-le') }}", "{{ lines | comment }}", "{{ lines | comment('cblock') }}",
    "{{ lines | comment('xml') }}", "{{ 'x' | comment('c', prefix='', postfix='') }}",
    "{{ lines | comment('erlang') }}",
    "{{ lines | comment(decoration='; ', prefix_count=2) }}", "{{ '%Y-%m' | strftime(86400, utc=True) }}",
    "{{ ('2026-01-02 03:04:05' | to_datetime).year }}", "{{ '2026' | to_datetime('%Y') }}", "{{ 5 | type_debug }}",
    "{{ one | type_debug }}", "{{ s | type_debug }}", "{{ 100 | random(seed='x') }}", "{{ l | shuffle(seed='x') }}",
    "{{ l | random(seed=3) }}", "{{ 10 | random(start=5, step=2, seed='q') }}", "{{ n | ternary('a', 'b', 'c') }}",
    "{{ ['in', 'x', 0] | first | extract(one, ['x', 1]) }}", "{{ users | groupby('id') | map('first') | list }}",
    "{{ 'x' | ansible.builtin.upper | ansible.builtin.b64encode }}", "{{ s is ansible.builtin.match('Some') }}",
    "{{ l | map('string') | length }}", "{{ l | select('odd') | map('string') | join('-') }}",
    "{{ s is match('text') }}", "{{ s is search('text') }}", "{{ s is regex('^some', ignorecase=True) }}",
    "{{ s is regex('Some', match_type='fullmatch') }}", "{{ users | selectattr('keys', 'contains', 'k1') | list }}",
    "{{ v is version('1.9', '>') }}", "{{ v is version('1.10.2') }}", "{{ v is version('1.10', 'ge', strict=True) }}",
    "{{ '1.2.3-rc.1' is version('1.2.3', '<', version_type='semver') }}", "{{ '2.0' is version('10.0', 'lt') }}",
    "{{ '1.0.0-alpha.9' is version('1.0.0-alpha.10', 'lt', version_type='semver') }}",
    "{{ '1.0a1' is version('1.0', '<') }}",
    "{{ '1.0.0-alpha' is version('1.0.0-1', 'gt', version_type='semver') }}",
    "{{ '1.0.0-a' is version('1.0.0-a.1', 'lt', version_type='semver') }}",
    "{{ '1.0rc1' is version('1.0', '<', version_type='pep440') }}", "{{ '1.2a1' is version('1.2', '<', strict=True) }}",
    "{{ [1] is subset([1, 2]) }}", "{{ [1, 2] is superset([2]) }}", "{{ [true, 1] is all }}", "{{ [0, none] is any }}",
    "{{ 'no' is truthy(convert_bool=True) }}", "{{ '' is falsy }}", "{{ ('nan' | float) is nan }}",
    "{{ '/' is directory }}", "{{ '/etc/passwd' is file }}", "{{ '/nope' is exists }}", "{{ 'a' is abs }}",
    "{{ '/' is mount }}", "{{ '/proc/self' is link }}", "{{ '/etc' is same_file('/etc/.') }}", "{{ url is url }}",
    "{{ 'urn:x' is urn }}", "{{ 'x' is url }}", "{{ 'ftp://h' is uri(['http']) }}",
    "{{ '/etc/passwd' is vaulted_file }}",
    "{{ query('env', 'ORCHESTR_TEST_SET', 'ORCHESTR_TEST_SET') }}", "{{ q('env', 'ORCHESTR_TEST_SET') }}",
    "{{ lookup('env', 'ORCHESTR_TEST_SET', wantlist=True) }}", "{{ lookup('file', '/etc/hostname') }}",
    "{{ query('file', '/etc/hostname') }}", "{{ lookup('file', '/nope', errors='ignore') }}",
    "{{ lookup('vars', 'v', 's') }}", "{{ lookup('vars', 'nope', default='x') }}", "{{ now().year > 2000 }}",
    "{{ now(utc=true, fmt='%Y') }}", "{{ {'a': nope | default(omit), 'b': 1} }}", "{{ [omit, 1] }}",
    "{{ l | min }}", "{{ users | map(attribute='name') | list }}", "{{ l | batch(2) }}", "{{ one | items }}",
    "{{ users | sum(attribute='id') }}", "{{ l | reverse }}", "{{ s | wordcount }}", "{{ one | dictsort }}",
]  # fmt: skip


@pytest.fixture(scope="module")
def ansible() -> Any:
    """Ansible's own templating over the same variables."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

    return Templar(loader=DataLoader(), variables=VARIABLES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_result_agrees(template: str, ansible: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template gives the value Ansible gives, of the same type."""
    from ansible.template import trust_as_template

    monkeypatch.setenv("ORCHESTR_TEST_SET", "from the environment")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ansible.template(trust_as_template(template))
    result = resolve(template, VARIABLES)
    assert (result, repr(result)) == (expected, repr(expected))


def _ansible_names(kind: str) -> set[str]:
    import ansible.plugins

    names: set[str] = set()
    directory = Path(ansible.plugins.__file__).parent / kind
    for path in directory.glob("*.py" if kind == "lookup" else "*.yml"):
        names.add(path.stem)
    return names - {"__init__"}


def test_each_filter_and_test_of_ansible_is_known() -> None:
    """What ansible-core has is supported, or refused by name with its replacement; nothing is in both lists."""
    filters, tests = environment().filters, environment().tests
    assert _ansible_names("filter") - {*filters, *unsupported.FILTERS} == set()
    assert _ansible_names("test") - {*tests, *unsupported.TESTS} == set()
    assert _ansible_names("lookup") - {"env", "file", "vars", *unsupported.LOOKUPS} == set()
    assert not set(unsupported.FILTERS) & set(filters)
    assert not set(unsupported.TESTS) & set(tests)


@pytest.mark.parametrize(
    ("template", "words", "step"),
    [
        ("{{ 'x' | password_hash }}", "the filter 'password_hash' of Ansible is not supported", "openssl passwd"),
        ("{{ 'x' | ansible.builtin.password_hash }}", "'ansible.builtin.password_hash' of Ansible is not supp", "open"),
        ("{{ s is changed }}", "the test 'changed' of Ansible is not supported", "before a run"),
        ("{{ s is mtch('a') }}", "no test 'mtch'", "docs/reference/inventory.md"),
        ("{{ s | to_yml }}", "no filter 'to_yml'", "docs/reference/inventory.md"),
        ("{{ lookup('pipe', 'id') }}", "lookup 'pipe' is not supported; use !command", ""),
        ("{{ query('password', 'x') }}", "lookup 'password' is not supported; use !generated", ""),
        ("{{ lookup('fil', 'x') }}", "did you mean 'file'", ""),
        ("{{ one | combine(two, deep=True) }}", "unexpected keyword argument 'deep'", ""),
        ("a{{ omit }}", "omit stands beside a text", ""),
        ("{{ undef(hint='set it yourself') }}", "set it yourself", ""),
    ],
)
def test_the_rest_is_refused_by_name(template: str, words: str, step: str) -> None:
    """A filter, test, lookup or argument that is not there is named, with its replacement or the list of known ones."""
    with pytest.raises(InputError) as caught:
        resolve(template, VARIABLES)
    assert words in str(caught.value)
    assert step in caught.value.next_step


def test_omit_leaves_out(tmp_path: Path) -> None:
    """A key or an item of omit is left out; a variable of omit counts as not written."""
    (tmp_path / "i.yml").write_text(
        "all:\n  hosts:\n    h:\n      ansible_port: '{{ port | default(omit) }}'\n"
        "      m: {a: '{{ nope | default(omit) }}', b: 1, l: ['{{ omit }}', 2]}\n"
    )
    inventory = load_inventory(tmp_path / "i.yml")
    assert inventory.scope("h").value("m") == {"b": 1, "l": [2]}
    assert inventory.connection("h").port is None


def test_a_file_is_looked_up_beside_the_inventory(tmp_path: Path) -> None:
    """lookup('file') of a relative path reads from the inventory's directory, whatever the working directory."""
    (tmp_path / "motd").write_text("{{ welcome }}\n")
    (tmp_path / "i.yml").write_text("all: {hosts: {h: {text: \"{{ lookup('file', 'motd') }}\"}}}")
    assert load_inventory(tmp_path / "i.yml").scope("h").value("text") == "{{ welcome }}"


def test_a_lookup_has_its_long_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """ansible.builtin.env is env."""
    monkeypatch.setenv("ORCHESTR_TEST_SET", "x")
    assert resolve("{{ lookup('ansible.builtin.env', 'ORCHESTR_TEST_SET') }}", {}) == "x"


def test_the_docs_list_each_name() -> None:
    """docs/reference/inventory.md names every filter and test that templates have, and those that are not supported."""
    text = (ROOT / "docs/reference/inventory.md").read_text()
    listed = set(re.findall(r"`([a-z0-9_]+)`", text))
    filters = {name for name in environment().filters if "." not in name}
    tests = {name for name in environment().tests if name.isidentifier()}
    refused = {*unsupported.FILTERS, *unsupported.TESTS, *unsupported.LOOKUPS}
    assert {*filters, *tests, *refused} - listed == set()
