"""Render variables: strings with ``{{ }}`` or ``{% %}``, inside containers too, as Ansible 2.19 does.

One expression keeps its type, several pieces make a text. Names are looked up when a template asks for them, so an
unused variable may be broken. A result that a secret took part in is a `Secret`. Jinja2 is imported at the first
template, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orchestr.errors import InputError
from orchestr.inventory.magic import MAGIC, Magic, RenderedVariables
from orchestr.inventory.marked import OMIT, UnsafeText, value_position, value_text
from orchestr.inventory.position import EXTRA_VARIABLES, Position, input_error
from orchestr.inventory.topology import InventoryHost, Topology
from orchestr.inventory.variable_names import is_template
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.templating.environment import Names


_PLAIN = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*-?\}\}")  # a name and nothing else


def resolve(value: Any, context: Scope | Mapping[str, Any], position: Position | None = None) -> Any:
    """Return ``value`` with every template in it rendered, containers as plain dicts and lists.

    Raises InputError at the place of the template (else at ``position``) when a name is undefined, with the closest
    known name; when variables refer to each other in a circle; when the template is malformed.

    >>> resolve({"port": "{{ base + 1 }}", "url": "http://{{ name }}/"}, {"base": 80, "name": "web1"})
    {'port': 81, 'url': 'http://web1/'}
    """
    scope = context if isinstance(context, Scope) else Scope(None, None, context)
    return scope.render(value, position)


class Scope:
    """The names one host's templates see; each variable is rendered at most once.

    Overlays (a play's, a role's own variables) win over the host's variables, the later over the earlier; extra
    variables win over those, magic names over everything.
    """

    def __init__(
        self,
        inventory: Topology | None,
        host: InventoryHost | None,
        *overlays: Mapping[str, Any],
        magic: Magic | None = None,
    ) -> None:
        self.host = host
        self.rendering: list[str] = []
        self._written: list[Mapping[str, Any]] = [*([host.variables] if host else []), *overlays]
        self._rendered: dict[str, Any] = {}
        self._magic = magic or (Magic(inventory, _names_of(inventory)) if inventory else None)
        self._names: Names | None = None

    def __contains__(self, name: object) -> bool:
        return self.has_variable(name) or (self._magic is not None and name in MAGIC)

    def has_variable(self, name: object) -> bool:
        """Return True if the variable ``name`` was written (magic names don't count)."""
        return any(name in written for written in self._written)

    def known_names(self) -> list[str]:
        """Return every name a template here may use."""
        return [*self.written_names(), *(MAGIC if self._magic else ())]

    def written_names(self) -> list[str]:
        """Return the names of the written variables, each once."""
        return list(dict.fromkeys(name for written in self._written for name in written))

    def position(self, name: str) -> Position | None:
        """Return the position of the variable ``name``, None when it is unknown."""
        if not self.has_variable(name):
            return None
        holder = self._holder(name)
        if self.host and holder is self.host.variables:
            return self.host.origin.get(name)
        return value_position(holder, name)

    def value(self, name: str) -> Any:
        """Return a variable, rendered. Raises KeyError when there is none, InputError when it can't be rendered."""
        if name not in self._rendered:
            self._rendered[name] = self._value(name)
        return self._rendered[name]

    def written(self, name: str) -> Any:
        """Return a variable as it was written, templates not rendered. Raises KeyError when it was not written."""
        return self._holder(name)[name]

    def text(self, name: str, *path: Any) -> str | None:
        """Return the text that a number, boolean or date was written as, in a variable or by a path into it."""
        holder: Any = self._holder(name)
        if not path:
            is_of_host = self.host is not None and holder is self.host.variables
            return self.host.texts.get(name) if self.host and is_of_host else value_text(holder, name)
        value = holder[name]
        for key in path[:-1]:
            value = value[key] if value_position(value, key) else None
        return value_text(value, path[-1])

    def variables(self) -> RenderedVariables:
        """Return the host's variables as a mapping that renders each when it is asked for."""
        return RenderedVariables(self)

    def render(self, value: Any, position: Position | None = None) -> Any:
        """Return ``value`` with its templates rendered; see `resolve`."""
        if isinstance(value, Mapping):
            pairs = [(key, self.render(item, value_position(value, key) or position)) for key, item in value.items()]
            return {key: item for key, item in pairs if item is not OMIT}
        if isinstance(value, (list, tuple)):
            items = (self.render(item, value_position(value, index) or position) for index, item in enumerate(value))
            kept = [item for item in items if item is not OMIT]
            return tuple(kept) if isinstance(value, tuple) else kept
        return self._render_text(value, position) if is_template(value) else value

    def _value(self, name: str) -> Any:
        if self._magic and self.host and name in MAGIC:
            return self._magic.value(name, self.host)
        value = self._holder(name)[name]
        if not isinstance(value, (str, Mapping, list, tuple)) or isinstance(value, UnsafeText):
            return value
        return self._value_in_turn(name, value)

    def _holder(self, name: str) -> Mapping[str, Any]:
        """Return the mapping whose ``name`` counts. Raises KeyError when it was not written."""
        if self.host is not None and self.host.origin.get(name) == EXTRA_VARIABLES:
            return self.host.variables
        for index in range(len(self._written) - 1, -1, -1):
            if name in self._written[index]:
                return self._written[index]
        raise KeyError(name)

    def _value_in_turn(self, name: str, value: Any) -> Any:
        """Render ``value`` while it counts as being rendered, so that a circle is noticed."""
        position = self.position(name)
        if name in self.rendering:
            raise _circle_error([*self.rendering[self.rendering.index(name) :], name], position)
        self.rendering.append(name)
        try:
            return self.render(value, position)
        finally:
            self.rendering.pop()

    def _render_text(self, text: str, position: Position | None) -> Any:
        from orchestr.templating.environment import Names  # Jinja2 is imported for a template, not before
        from orchestr.templating.render import render_text

        if self._names is None:
            self._names = Names(self)
        value = render_text(text, self._names, position)
        if isinstance(value, (str, Secret)) and "{%" not in text:
            for name in _PLAIN.findall(text):
                self._refuse_changed(name)
        return value

    def _refuse_changed(self, name: str) -> None:
        """Raise InputError at a number that a text is made with, and that is not written as it would stand in it."""
        value = self.value(name) if self.has_variable(name) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            written, text = self.written(name), self.text(name)
            inner = _PLAIN.fullmatch(written) if isinstance(written, str) else None
            if inner is not None:
                self._refuse_changed(inner.group(1))
            elif text is not None and text != str(value):
                message = f"a text is made with {name}, and YAML reads {text} as a number: {value}"
                raise input_error(self.position(name), message, next_step=f"put quotes around it: '{text}'")


def _names_of(inventory: Topology) -> Callable[[InventoryHost, Magic], Scope]:
    return lambda host, magic: Scope(inventory, host, magic=magic)


def _circle_error(names: list[str], position: Position | None) -> InputError:
    """Return the error for variables that need each other to be rendered."""
    what = f"variables refer to each other in a circle: {' → '.join(names)}"
    return input_error(position, what, next_step=f"give one of them a value without a template: {names[-1]}")
