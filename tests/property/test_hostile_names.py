"""Names reach tools only after they were checked to mean exactly one thing: every text field of every resource."""

from __future__ import annotations

import functools
import typing
from typing import Any

import pytest
from hypothesis import Phase, find, settings

from orchestr.agent import record
from orchestr.agent.resource import Task
from orchestr.agent.secret import Secret
from orchestr.resources.commands import Command
from orchestr.resources.compose.project import ComposeService
from orchestr.resources.docker.images import ImageLayer
from orchestr.resources.files import Blob, File
from orchestr.resources.firewall.rules import Rule
from orchestr.resources.moves.databases import Database
from orchestr.resources.swarm.stack import StackService
from orchestr.resources.trees import Tree
from tests.property.test_every_kind import WORLDS
from tests.property.test_field_types import SHIPPED as TYPED

#: The kinds that travel to hosts; the other typed classes are parts of what the controller renders.
SHIPPED = {kind: cls for kind, cls in TYPED.items() if hasattr(cls, "kind")}

BLOB = Blob("0" * 64, 1)
DATABASE = Database("shop", "mysql", "mysql:8", Secret("x"), "shop_default", ("a",), ("a",), ("a",), "done")
#: Records that are parts of resources, which no world makes alone.
PARTS: dict[str, Any] = {
    "application_database": DATABASE, "blob": BLOB, "compose_service": ComposeService("web"), "rule": Rule(80),
    "image_layer": ImageLayer("sha256:0", BLOB), "stack_service": StackService("web", "x"), "task": Task(File("/x")),
    "tree": Tree("data", "/srv/data"),
}  # fmt: skip
NAMES = ("-x", "--all", "a\0b", "a\nb", "a b", "*", "a*", "$(x)", "../../x", "a;b", "%i", "fe80::1%eth0;x")
#: What each kind of text refuses. "free" is a content, an expression, or a word that is shown only; "word" is an
#: argument of a program that the role chooses; "digest" is made by the controller.
HOSTILE: dict[str, tuple[str, ...]] = {
    "name": NAMES,
    "package": (*NAMES, "acl-", "acl+/x", "redis/stable", "redis=7", "redis:any", "^redis"),
    "version": ("a b", "a\nb", "7/x", "7|8"),
    "unit": (*NAMES, "worker@", "worker@.service", "/etc/x.service"),
    "setting": (*NAMES, "net..a", "net.*.x"),
    "account": (*NAMES[:4], "a:b", "a,b", "../../x"),
    "image": (*NAMES, "MyApp:1", "http://reg/x:1", "a:", "a@sha256:x"),
    "address": (*NAMES[:5], "*", "a;b", "$(x)"),
    "source": (*NAMES, "fe80::1%eth0", "::ffff:192.0.2.1", "10.0.0.5/8", "lab1"),
    "network": (*NAMES, "10.0.0.0"),
    "url": ("file:///etc/shadow", "-x", "http://a\nb", "http://a b", "//x", "ftp://x"),
    "port": ("0", "65536", "a", "-1", "80,443", "9/icmp"),
    "path": ("relative", "", "-x", "/a\0b", "/a\nb", "~/x"),
    "choice": ("nonsense", "-x", "a\0b"),
    "mode": ("rwx", "0888", "-x", "u+x", "9999"),
    "line": ("a\0b", "a\nb"),
    "word": ("a\0b",),
    "key": ("-x", "ssh-ed25519", "a\nb"),
    "free": (),
    "digest": (),
}
#: kind → field → the kind of text that it is. A field that has its default may be "".
TEXTS: dict[str, dict[str, str]] = {
    "application_database": {
        "application": "name", "service": "name", "image": "image", "network": "name", "save": "word", "load": "word",
        "probe": "word", "complete": "free", "suffix": "name",
    },
    "application_downtime": {"application": "name"},
    "application_form_removed": {"application": "name", "form": "choice", "directory": "path", "networks": "name"},
    "application_loaded": {},
    "application_move_forgotten": {"application": "name"},
    "application_saved": {
        "application": "name", "source": "choice", "directory": "path", "networks": "name", "writers": "name",
    },
    "application_services_stopped": {"application": "name", "services": "name", "form": "choice"},
    "application_survey": {"name": "name", "container_paths": "free"},
    "archive": {"name": "name", "paths": "path"},
    "blob": {"sha256": "digest"},
    "block": {
        "path": "path", "marker": "line", "content": "free", "insert_after": "free", "mode": "mode", "comment": "line",
    },
    "command": {
        "argv": "word", "unless": "word", "creates": "path", "input": "free", "label_text": "line",
    },
    "compose_plugin": {"packages": "package"},
    "compose_project": {
        "directory": "path", "services": "name", "name": "name", "files": "line", "env_files": "line",
        "config": "line", "pull": "choice", "override": "line",
    },
    "compose_service": {
        "name": "name", "definition": "digest", "config": "line", "image": "image", "image_id": "digest",
        "reload_files": "line", "reload_command": "word", "env_files": "line",
    },
    "directory": {"path": "path", "mode": "mode", "owner": "account", "group": "account"},
    "docker_engine": {"minimum_version": "choice", "compose_minimum": "choice"},
    "env_file": {"path": "path", "reader": "choice", "mode": "mode", "owner": "account", "group": "account"},
    "file": {"path": "path", "content": "free", "mode": "mode", "owner": "account", "group": "account"},
    "firewall": {"incoming": "choice", "outgoing": "choice", "routed": "choice", "published": "choice",
                 "backend": "choice"},
    "firewall_rule": {"port": "port", "protocol": "choice", "sources": "source", "action": "choice",
                      "comment": "line", "backend": "choice"},
    "group": {"name": "name"},
    "http_answer": {"url": "url", "contains": "free", "host": "address"},
    "image": {"reference": "image", "image_id": "digest"},
    "image_layer": {"diff_id": "digest"},
    "line": {"path": "path", "line": "line", "match": "free", "insert_after": "free", "mode": "mode"},
    "link": {"path": "path", "target": "line"},
    "package": {"names": "package", "version": "version", "any_of": "package"},
    "packet_filter": {"backend": "choice"},
    "ports_free": {"ports": "port", "project": "name"},
    "pulled_image": {"reference": "image", "digest": "choice"},
    "rule": {"port": "port", "protocol": "choice", "sources": "source", "action": "choice", "comment": "line"},
    "service": {"name": "unit", "config": "path"},
    "stack": {"name": "name", "document": "free"},
    "stack_service": {"name": "name", "definition": "digest", "mode": "choice", "env_files": "path"},
    "swarm_config": {"name": "name", "content": "free", "stack": "name"},
    "swarm_drained": {"node_id": "name", "hostname": "free"},
    "swarm_ingress": {"name": "free"},
    "swarm_left": {"name": "free"},
    "swarm_leftovers": {"stack": "name", "keep": "free"},
    "swarm_manager": {"advertise": "address", "data_path": "address", "listen": "address",
                      "address_pools": "network", "cluster": "free", "name": "free"},
    "swarm_member": {"role": "choice", "advertise": "address", "managers": "address", "cluster": "free",
                     "nodes": "free", "data_path": "address", "listen": "address", "contact": "free",
                     "name": "free", "obstacle": "free"},
    "swarm_node": {"node_id": "name", "hostname": "free", "role": "choice", "availability": "choice"},
    "swarm_secret": {"name": "name", "stack": "name"},
    "swarm_survey": {"name": "free"},
    "swarm_token_rotation": {"role": "choice"},
    "swarm_twins": {"gone": "free", "current": "free", "name": "free"},
    "sysctl": {"name": "setting", "value": "line", "file": "path"},
    "task": {"name": "free", "tags": "free", "id": "free"},
    "tcp_answer": {"address": "address"},
    "tree": {"name": "name", "path": "path", "volume": "name"},
    "tree_measure": {"name": "free"},
    "tree_placed": {}, "tree_retired": {}, "tree_stays": {}, "tree_taken": {},
    "tree_survey": {"name": "free"},
    "user": {"name": "name", "group": "name", "groups": "name", "shell": "path", "home": "path", "comment": "line",
             "authorized_keys": "key"},
}  # fmt: skip


@functools.cache
def _example(kind: str) -> Any:
    if kind in PARTS:
        return PARTS[kind]
    strategy = next(world.kinds[kind] for world in WORLDS if kind in world.kinds)
    return find(strategy, lambda _: True, settings=settings(max_examples=1, phases=(Phase.generate,), derandomize=True))


def _texts(cls: type) -> dict[str, bool]:
    """Return the fields that take a text or a list of texts: name → True for a list."""
    names = {**vars(typing), **{other.__name__: other for other in SHIPPED.values()}}
    names |= vars(__import__(cls.__module__, fromlist=["x"]))
    hints = typing.get_type_hints(cls, localns=names)
    fields = {}
    for field in record.fields(cls):
        hint = hints[field.name]
        members = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else (hint,)
        lists = [member for member in members if typing.get_origin(member) is tuple]
        items = [part for one in lists for part in typing.get_args(one)[:1]]
        items += [part for item in items for part in typing.get_args(item) if typing.get_origin(item) is typing.Union]
        if str in members or str in items:
            fields[field.name] = str not in members
    return fields


@pytest.mark.parametrize("kind", sorted(SHIPPED))
def test_every_text_is_known_for_its_meaning(kind: str) -> None:
    """A new field is to be put into the table, with the texts that it must refuse."""
    assert set(_texts(SHIPPED[kind])) == set(TEXTS[kind])


CASES = [(kind, name) for kind in sorted(TEXTS) for name, meaning in TEXTS[kind].items() if HOSTILE[meaning]]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}.{name}" for kind, name in CASES])
def test_a_text_that_means_more_is_refused(kind: str, name: str) -> None:
    """An option, a pattern, another line, a path out of its place: refused where the resource is made."""
    made, is_list = _example(kind), _texts(SHIPPED[kind])[name]
    if kind == "tree" and name == "volume":
        made = Tree("data", volume="data")
    for text in HOSTILE[TEXTS[kind][name]]:
        if not text and getattr(type(made), name, "") == "":
            continue  # not given
        with pytest.raises(ValueError):
            accepted = record.replace(made, **{name: (text,) if is_list else text})
            pytest.fail(f"{name}={text!r} is accepted: {accepted!r}")


@pytest.mark.parametrize("env", [(("A=B", "x"),), (("", "x"),), (("A", "x\0y"),)])
def test_a_variable_of_a_command_is_one(env: Any) -> None:
    """A name without =, and a value that an environment can hold."""
    with pytest.raises(ValueError):
        Command(("true",), env=env)
