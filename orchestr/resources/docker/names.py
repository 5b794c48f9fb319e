"""Names that the Docker engine gives a meaning: references of images; of projects, services, networks and volumes.

Source: the grammar of references in github.com/distribution/reference; Docker's and compose's rules for names.
"""

from __future__ import annotations

LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
ALNUM = LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
HEX = frozenset("0123456789abcdefABCDEF")
LONGEST_NAME, LONGEST_TAG = 255, 128  # characters
HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}


def check_reference(reference: str) -> None:
    """Raise ValueError unless a text is a reference of one image: ``[HOST[:PORT]/]PATH[:TAG][@DIGEST]``."""
    name, at, digest = reference.partition("@")
    algorithm, _, text = digest.partition(":")
    if at and (len(text) != HEX_LENGTH.get(algorithm) or not HEX.issuperset(text) or text != text.lower()):
        raise ValueError("%r of image %s is not a digest: sha256:…" % (digest, name))
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, colon, tag = name, "", ""
    if colon and (not tag or len(tag) > LONGEST_TAG or tag[0] in ".-" or not _is_made_of(tag, ALNUM, "_.-")):
        raise ValueError("%r is not a tag of an image, in %r" % (tag, reference))
    first, slash, rest = path.partition("/")
    has_host = bool(slash) and (bool({".", ":"} & {*first}) or first == "localhost" or first != first.lower())
    if has_host and not _is_host(first):
        raise ValueError("%r is not a registry, in the image %r" % (first, reference))
    parts = (rest if has_host else path).split("/")
    if len(path) > LONGEST_NAME or not all(map(_is_component, parts)):
        is_upper = all(_is_component(part.lower()) for part in parts)
        why = ": write it in lower case" if is_upper else ""
        raise ValueError("%r is not the name of an image%s" % (reference, why))


def check_object_name(kind: str, name: str) -> None:
    """Raise ValueError unless ``name`` names one network, volume or container: letters, digits and ``_.-``."""
    if not name or name[0] not in ALNUM or not _is_made_of(name, ALNUM, "_.-"):
        raise ValueError("%r is not the name of a %s (letters, digits and _ . -)" % (name, kind))


def check_project_name(name: str) -> None:
    """Raise ValueError unless ``name`` is one of a compose project or stack: lower-case letters, digits and ``_-``."""
    if not name or name[0] not in LOWER or not _is_made_of(name, LOWER, "_-"):
        raise ValueError("%r is not the name of a project (lower-case letters, digits, _ and -)" % name)


def _is_host(text: str) -> bool:
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        is_address = bool(bracket) and ":" in address and _is_made_of(address, HEX, ":")
        return is_address and (not port or (port[0] == ":" and _is_number(port[1:])))
    name, colon, port = text.partition(":")
    is_name = all(part and part[0] != "-" != part[-1] and _is_made_of(part, ALNUM, "-") for part in name.split("."))
    return is_name and (not colon or _is_number(port))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_component(text: str) -> bool:
    """Return True for a part of an image's path: lower-case letters and digits, between them ``.``, ``_``, ``-``."""
    if not text or text[0] not in LOWER or text[-1] not in LOWER or not _is_made_of(text, LOWER, "._-"):
        return False
    separators = "".join(" " if char in LOWER else char for char in text).split()
    return all(item in (".", "_", "__") or set(item) == {"-"} for item in separators)


def _is_made_of(text: str, letters: frozenset[str], others: str) -> bool:
    return (letters | frozenset(others)).issuperset(text)
