"""Names of Ansible that need its runtime and are not supported here, each with its replacement."""

from __future__ import annotations

_RESULT = "templates of orchestr are rendered before a run, when no task has a result; a role's Python decides by facts"
_RANDOM_SALT = "give a hash that was made once: openssl passwd -6"

FILTERS = {
    "password_hash": _RANDOM_SALT,
    "unvault": "write the value with !vault, or with !file when it is in a file",
    "vault": "orchestr secrets encrypt --string NAME makes a vault text",
}
TESTS = {
    **dict.fromkeys(("changed", "change", "failed", "failure", "finished", "reachable", "skip", "skipped"), _RESULT),
    **dict.fromkeys(("started", "succeeded", "success", "successful", "timedout", "unreachable"), _RESULT),
    "vault_encrypted": "a value of !vault is decrypted where it is used, and stays a secret",
}
LOOKUPS = {
    "config": "orchestr has no configuration of Ansible's",
    "csvfile": "write the values into group_vars/",
    "dict": "use the filter dict2items",
    "fileglob": "use the filter fileglob",
    "first_found": "use the test exists, as in {{ a if a is exists else b }}",
    "indexed_items": "use loop.index0 in a {% for %}",
    "ini": "write the values into group_vars/",
    "inventory_hostnames": "use groups, as in {{ groups['web'] }}",
    "items": "write the list itself",
    "lines": "use !command [PROGRAM, ARGUMENT], or {{ lookup('file', PATH).splitlines() }}",
    "list": "write the list itself",
    "nested": "use the filter product",
    "password": "use !generated NAME: made up once, and kept",
    "pipe": "use !command [PROGRAM, ARGUMENT]: no shell, and a secret",
    "random_choice": "use the filter random",
    "sequence": "use range(), as in {{ range(1, 4) | list }}",
    "subelements": "use the filter subelements",
    "template": "a role renders its templates with host.template(NAME)",
    "together": "use the filter zip",
    "unvault": "use !file PATH for a file, !vault for a value",
    "url": "use !command [curl, --fail, --silent, URL]",
    "varnames": "name the variables",
}
