"""The JSON of a host: read and written as the real one does, without importing that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestr.agent import light_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WAYS: list[dict[str, Any]] = [{}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"sort_keys": True}]


@given(VALUES, st.sampled_from([*WAYS, {"indent": 1}]))
def test_a_value_is_written_as_by_the_real_one(value: Any, way: dict[str, Any]) -> None:
    """To the letter, in each way that is used."""
    assert light_json.dumps(value, **way) == json.dumps(value, **way)
    if "indent" not in way:
        assert light_json.JSONEncoder(**way).encode(value) == json.JSONEncoder(**way).encode(value)


@given(VALUES, st.sampled_from(["", " ", "\n\t\r "]))
def test_a_text_is_read_as_by_the_real_one(value: Any, around: str) -> None:
    """As text and as bytes, whatever white space is around it."""
    text = around + json.dumps(value) + around
    assert repr(light_json.loads(text)) == repr(light_json.loads(text.encode())) == repr(json.loads(text))


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\u'))
def test_what_the_real_one_refuses_is_refused(text: str) -> None:
    """With the same kind of error, and nothing else is."""
    try:
        wanted = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            light_json.loads(text)
    else:
        assert repr(light_json.loads(text)) == repr(wanted)


def test_what_json_has_not_is_refused() -> None:
    """Such a value is named by its type."""
    with pytest.raises(TypeError, match="set"):
        light_json.dumps({"a": {1}})
