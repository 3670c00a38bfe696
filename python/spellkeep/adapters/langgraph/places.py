"""Where an item of the store stands: its namespace and key as one key of a scope.

Each label is escaped and closed by ``/``, then come ``=`` and the escaped key, so that all of a namespace and what is
below it begins with the same text, and ``acme`` is no beginning of ``acme-corp``. What gets too long stands under ``~``
and a hash, with its name in the record.
"""

from __future__ import annotations

import hashlib
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from spellkeep.adapters.langgraph.keys import escaped

LONG = "~"
_BYTES_MAX = 250
_OWN = "%/=\\"


def _part(text: str) -> str:
    """A label or key without the signs of this format, and without what keys of a scope must not have in them."""
    if not text.isascii() or not text.isprintable():
        plain = text.isprintable() and unicodedata.is_normalized("NFC", text)
        # A combining sign at the beginning would become one character with what stands before it.
        if not plain or unicodedata.combining(text[0]):
            return escaped(text).replace("=", "%3D").replace("~", "%7E")
    for sign in _OWN:
        text = text.replace(sign, quote(sign, safe=""))
    return text.replace("~", "%7E").replace("..", ".%2E")


def namespace_text(namespace: tuple[str, ...]) -> str:
    """The beginning of all places in a namespace and below it."""
    return "".join(_part(label) + "/" for label in namespace)


def place_of(namespace: tuple[str, ...], key: str) -> str:
    """The key under which an item stands."""
    place = f"{namespace_text(namespace)}={_part(key)}"
    if len(place.encode()) <= _BYTES_MAX:
        return place
    return LONG + hashlib.sha256(place.encode()).hexdigest()


def name_of(place: str) -> tuple[tuple[str, ...], str]:
    """The namespace and key of a place that is not a long one."""
    *labels, key = place.split("/")
    return tuple(map(_plain, labels)), _plain(key[1:])


def _plain(part: str) -> str:
    return unquote_to_bytes(part).decode("utf-8", "surrogatepass") if "%" in part else part
