"""Read an inventory file's groups, hosts and variables into a draft, strictly: an error where Ansible skips content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.document import read_document
from orchestr.inventory.draft import Draft, GroupDraft, HostDraft
from orchestr.inventory.marked import MarkedDict, sourced
from orchestr.inventory.position import Position, Sourced, kind, shown
from orchestr.inventory.ranges import RangeError, expand
from orchestr.inventory.sources import VaultKey
from orchestr.inventory.variable_names import check_variable
from orchestr.inventory.yaml_errors import ini_error, looks_like_ini

GROUP_KEYS = ("hosts", "vars", "children")


def parse_file(path: Path, draft: Draft, key: VaultKey) -> None:
    """Add the content of the inventory file ``path`` to ``draft``; raises InputError."""
    if is_program(path):
        raise _program_error(path)
    document = read_document(path, key)
    if not document and document is not False and document != 0:
        raise InputError("is empty; expected groups", file=path, next_step=_SHAPE)
    if not isinstance(document, MarkedDict):
        raise _not_an_inventory(path, document)
    _check_top_level(document)
    for name in document:
        _parse_group(draft, name, document, path)


_SHAPE = "an inventory starts with 'all:', then 'hosts:' and 'children:' indented below it"


def is_program(path: Path) -> bool:
    """Return True for an executable that names its interpreter, or is machine code: a dynamic inventory of Ansible."""
    try:
        if not path.is_file() or not os.access(path, os.X_OK):
            return False
        with path.open("rb") as stream:
            return stream.read(4).startswith((b"#!", b"\x7fELF"))
    except OSError:
        return False  # reading the inventory says why


def _program_error(path: Path) -> InputError:
    step = f"have its answer written down: ansible-inventory -i {path} --list --yaml --export > inventory.yml"
    return InputError("is a program; orchestr reads inventories, and runs none", file=path, next_step=step)


def _not_an_inventory(path: Path, document: Any) -> InputError:
    if looks_like_ini(path.read_text(encoding="utf-8", errors="replace")):
        return ini_error(str(path))
    position = getattr(document, "position", Position(str(path), 1, 1))
    return position.error(f"expected a mapping of groups, found {kind(document)}", next_step=_SHAPE)


def _check_top_level(document: MarkedDict) -> None:
    for name in document:
        position = document.keys_at[name]
        if name in GROUP_KEYS:
            raise position.error(f"{name!r} stands where group names are expected", next_step=_SHAPE)
        if name == "plugin":
            raise position.error(
                "this configures an Ansible inventory plugin; orchestr reads plain YAML inventories",
                next_step="write its result to a file: ansible-inventory -i FILE --list --yaml",
            )


def _parse_group(draft: Draft, name: Any, parent: MarkedDict, path: Path) -> None:
    position = parent.keys_at[name]
    _check_name("group", name, parent, position)
    group = draft.group(name, position)
    if not name.isidentifier():
        draft.warn(position, f"the group name {name!r} has characters that are not letters, digits or '_'")
    body = parent[name]
    if body is None:
        return
    if not isinstance(body, MarkedDict):
        raise parent.values_at[name].error(
            f"the group {shown(name)} must be a mapping with hosts, vars or children, found {kind(body)}",
            next_step="write hosts: below it, and the hosts' names below that",
        )
    for section in body:
        _parse_section(draft, group, section, body, path)


def _parse_section(draft: Draft, group: GroupDraft, section: Any, body: MarkedDict, path: Path) -> None:
    if section not in GROUP_KEYS:
        raise _unknown_section(group, section, body)
    content = _section_mapping(group, section, body)
    if content is None:
        return
    if section == "vars":
        _parse_group_variables(draft, group, content)
    elif section == "children":
        for child in content:
            _parse_group(draft, child, content, path)
            group.children.setdefault(child, content.keys_at[child])
    else:
        for written in content:
            _parse_hosts(draft, group, written, content, path)


def _unknown_section(group: GroupDraft, section: Any, body: MarkedDict) -> InputError:
    name = str(section)
    meant = closest(name, GROUP_KEYS)
    if meant:
        step = ""
    elif isinstance(body[section], (MarkedDict, type(None))):
        step = f"hosts go under 'hosts:', groups under 'children:'; is {name!r} one of them?"
    else:
        step = f"variables of a group go under 'vars:'; is {name!r} one?"
    return body.keys_at[section].error(
        f"unknown key {name!r} in the group {group.name!r}; expected hosts, vars or children",
        suggestion=meant,
        next_step=step,
    )


def _section_mapping(group: GroupDraft, section: str, body: MarkedDict) -> MarkedDict | None:
    """Return the section as a mapping; a bare text names one host or child, as Ansible allows."""
    content, position = body[section], body.values_at[section]
    if content is None or isinstance(content, MarkedDict):
        return content
    if isinstance(content, str) and section != "vars":
        single = MarkedDict(position)
        single.put(content, None, position, position)
        return single
    step = (
        "write each variable as NAME: value, without '- '"
        if section == "vars"
        else f"write each name as a key: '{_first_name(content)}:', without '- '"
    )
    raise position.error(
        f"'{section}' of the group {group.name!r} must be a mapping, found {kind(content)}", next_step=step
    )


def _first_name(content: Any) -> str:
    return content[0] if isinstance(content, list) and content and isinstance(content[0], str) else "name"


def _parse_group_variables(draft: Draft, group: GroupDraft, content: MarkedDict) -> None:
    for name, value in content.items():
        position = content.values_at[name]
        if name == "ansible_group_priority":
            group.priority = _priority(value, position)
        else:
            check_variable(draft, name, value, content)
            group.variables[name] = Sourced(value, position, content.written.get(name))


def _priority(value: Any, position: Position) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        what = f"ansible_group_priority must be a whole number, found {shown(value)}"
        raise position.error(what, next_step="the default is 1; the higher wins") from None


def _parse_hosts(draft: Draft, group: GroupDraft, written: Any, content: MarkedDict, path: Path) -> None:
    position = content.keys_at[written]
    names, port = _host_names(written, content, position)
    variables = content[written]
    if variables is not None and not isinstance(variables, MarkedDict):
        raise content.values_at[written].error(
            f"the host {shown(written)} must have a mapping of variables or nothing, found {kind(variables)}",
            next_step=f"write its address as: {_brief(written)}: {{ansible_host: 10.0.0.1}}",
        )
    own = _host_variables(draft, variables)
    for name in names:
        host = draft.hosts.get(name)
        if host is None:
            host = draft.hosts[name] = HostDraft(name, path, position)
            if port:
                host.variables["ansible_port"] = Sourced(port, position)
        _owner(draft, host).variables.update(own)
        host.groups[group.name] = None
        group.hosts[name] = None


def _owner(draft: Draft, host: HostDraft) -> HostDraft | GroupDraft:
    """As Ansible: variables written for a host that has the name of a group become the group's."""
    group = draft.groups.get(host.name)
    if group is None:
        return host
    draft.warn(host.position, f"{host.name!r} is a group too, so what is written for the host holds for that group")
    return group


def _host_names(written: Any, content: MarkedDict, position: Position) -> tuple[list[str], int | None]:
    _check_name("host", written, content, position)
    if any(character in written for character in ", \t"):
        step = "write each host as a key of its own, or several alike as a range: web[1:3]"
        raise position.error(
            f"{shown(written)} is not a valid host name: one key names one host (or one range)", next_step=step
        )
    if written.startswith("-"):
        step = "give it another name, and its address as ansible_host"
        raise position.error(
            f"the host name {shown(written)} begins with '-'; ssh would take it for an option", next_step=step
        )
    try:
        return expand(written)
    except RangeError as problem:
        raise position.error(
            f"bad range in the host name {shown(written)}: {problem}",
            next_step="examples: web[1:3], web[01:20:2], db-[a:f]",
        ) from None


def _check_name(what: str, name: Any, container: MarkedDict, position: Position) -> None:
    """Raise InputError unless the name of a host or group is a text that is not empty."""
    if name == "":
        raise position.error(f"a {what}'s name is empty", next_step=f"put the {what}'s name before the ':'")
    if not isinstance(name, str):
        actual = f"found {kind(name)} ({shown(name)})"
        step = f"put quotes around it: '{_brief(container.keys_written.get(name, str(name)))}'"
        raise position.error(f"a {what}'s name must be text, {actual}", next_step=step)


def _brief(name: str) -> str:
    return shown(name)[1:-1]


def _host_variables(draft: Draft, variables: MarkedDict | None) -> dict[str, Sourced]:
    if not variables:
        return {}
    for name, value in variables.items():
        check_variable(draft, name, value, variables)
    return sourced(variables)
