"""The state of packet filters: any output of their tools, and any file of theirs, is read without an exception."""

from __future__ import annotations

from hypothesis import strategies as st

from orchestr.agent.resource import ResourceError
from orchestr.resources.firewall import firewalld_direct, firewalld_rules, firewalld_state, netfilter, ufw_files
from tests.fuzz.effort import altered, fuzz, read_within_limits
from tests.resources.engine_double import RECORDED

WORDS = [
    *(
        "-A ",
        "-j ",
        "! ",
        "*nat\n",
        ":",
        "COMMIT\n",
        "### tuple ###",
        "### RULES ###\n",
        " comment=",
        "\n",
        '"',
        "'",
        "\\",
    ),
    *("rule ", 'priority="', 'log prefix="ports: x" ', "\tchain ", "\t\t", "{", "}", "elements = ", "<rule ", "/>"),
    *("port port=", "[1:2] ", "\\"),
]


def _seeds(*paths: str) -> list[str]:
    return [(RECORDED / path).read_text()[:6000] for path in paths]


SAVED = altered(_seeds("ufw-0.36/ours_iptables-save", "firewalld-1.3/ours_ip6tables-save"), WORDS)


@fuzz(SAVED, examples=25)
def test_any_table_is_read(text: str) -> None:
    """Each rule has a comparable form, which does not depend on how often it is made."""
    live = read_within_limits(lambda: netfilter.parse(text))
    for chain in live.chains:
        assert live.canonical(chain) == [netfilter.canonical(rule) for rule in live.chains[chain]]


@fuzz(altered(_seeds("ufw-0.36/ours_user.rules", "ufw-0.36/active_user6.rules"), WORDS), examples=25)
def test_any_rules_file_is_read_or_refused(text: str) -> None:
    """A file that is read gives the same entries when it is written back."""
    for family in (4, 6):
        parsed = read_within_limits(lambda: ufw_files.parse_rules(text, family), ValueError)  # noqa: B023
        if parsed is not None:
            again = ufw_files.parse_rules(parsed.text(parsed.entries), family)
            assert [entry.lines for entry in again.entries] == [entry.lines for entry in parsed.entries]


@fuzz(altered(_seeds("firewalld-1.3/ours_list-all", "firewalld-1.3/pristine_list-all"), WORDS), examples=25)
def test_any_zone_is_read(text: str) -> None:
    """Each item has its entries and its text; a foreign one is kept as it is."""
    for item in read_within_limits(lambda: firewalld_rules.parse_zone(text)):
        assert firewalld_rules.described(item) and isinstance(firewalld_rules.entries_of(item), list)


@fuzz(altered(_seeds("firewalld-1.3/ours_nft"), WORDS), examples=25)
def test_any_listing_of_nft_is_read(text: str) -> None:
    """Chains have rules; nothing of a set or map is one."""
    chains = read_within_limits(lambda: firewalld_state.chains_of(text))
    assert all(isinstance(rule, str) and rule for rules in chains.values() for rule in rules)


@fuzz(altered(_seeds("firewalld-1.3/ours_direct.xml", "firewalld-1.3/vendor_public.xml"), WORDS), examples=25)
def test_any_xml_is_read(text: str) -> None:
    """Direct rules and packaged zones, damaged ones too."""
    text = text.encode("utf-8", "replace").decode()  # files are read so
    read_within_limits(lambda: firewalld_direct.lines_of(text), ResourceError)
    read_within_limits(lambda: firewalld_rules.vendor_items(text))


@fuzz(st.text(max_size=200) | altered(_seeds("ufw-0.36/pristine_default_ufw"), WORDS), examples=25)
def test_settings_are_set_in_any_file(text: str) -> None:
    """A setting that is written is read back, whatever else the file holds."""
    wanted = {"ENABLED": "yes", "DEFAULT_INPUT_POLICY": "DROP"}
    written = read_within_limits(lambda: ufw_files.with_settings(text, wanted))
    assert {**ufw_files.settings(written), **wanted} == ufw_files.settings(written)
