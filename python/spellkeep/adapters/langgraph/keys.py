"""Keys of a thread's scope, and ids that fit into them.

A thread's records stand under these keys (docs/guide/langgraph.md, What is stored)::

    c NUMBER ID [. NS]            a checkpoint          w NUMBER PART          writes of a task
    C NUMBER FIRST ID [. NS]      ... with elements     W NUMBER FIRST PART    ... with elements
    E FIRST                       elements alone

NUMBER counts the thread's checkpoints, FIRST is the number of the record's first element. They have a fixed width and
digits in the order of their code points, so keys sort as they were made.
"""

from __future__ import annotations

import base64
import hashlib
import string
from binascii import b2a_base64
from urllib.parse import quote, unquote_to_bytes

from spellkeep import StateScope
from spellkeep.errors import LimitExceeded
from spellkeep.value import uuid_bytes

_DIGITS = "-" + string.digits + string.ascii_uppercase + "_" + string.ascii_lowercase
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SAFE = " !#$&'()*+,-:;<=>?@[]^_`{|}~"

NUMBER_WIDTH = 5
_NUMBER_MAX = 64**NUMBER_WIDTH
_PART_MAX = 64**3
_PART_BYTES_MAX = 100

SHARED_SCOPE = StateScope.custom("lg")
_THREAD = "lg:"


def number_text(number: int) -> str:
    """Five digits, in order as the numbers are.

    Raises: LimitExceeded (langgraph.thread_size) from 2**30 on.
    """
    if number >= _NUMBER_MAX:
        raise LimitExceeded(f"a thread has at most {_NUMBER_MAX} elements", code="langgraph.thread_size")
    return _DIGITS[number >> 24] + _PAIRS[number >> 12 & 4095] + _PAIRS[number & 4095]


def part_text(part: int) -> str:
    """Three digits.

    Raises: LimitExceeded (langgraph.writes) from 2**18 on.
    """
    if part >= _PART_MAX:
        raise LimitExceeded(f"a checkpoint has at most {_PART_MAX} records of writes", code="langgraph.writes")
    return _DIGITS[part >> 12] + _PAIRS[part & 4095]


def text_number(text: str) -> int:
    """The number that `number_text` wrote."""
    number = 0
    for digit in text:
        number = number << 6 | _VALUE[digit]
    return number


def escaped(text: str) -> str:
    """A text as printable ASCII without dots, slashes and backslashes; different texts stay different."""
    return quote(text.encode("utf-8", "surrogatepass"), safe=_SAFE).replace(".", "%2E")


def unescaped(text: str) -> str:
    """The text that `escaped` was given."""
    return unquote_to_bytes(text).decode("utf-8", "surrogatepass")


def bytes_uuid(raw: bytes) -> str:
    """The canonical spelling of a UUID."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_text(text: str) -> str:
    """An id in a key: ``u`` and a UUID's bytes, ``r`` and the escaped id, or ``h`` and a hash of a long one."""
    if (raw := uuid_bytes(text)) is not None:
        # As base64.urlsafe_b64encode, which takes three times as long.
        return "u" + b2a_base64(raw).translate(_URL_SAFE)[:22].decode()
    plain = escaped(text)
    if len(plain) <= _PART_BYTES_MAX:
        return "r" + plain
    return "h" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def text_id(text: str) -> str | None:
    """The id that `id_text` was given, or None when it only kept a hash."""
    if text[0] == "u":
        return bytes_uuid(base64.urlsafe_b64decode(text[1:] + "=="))
    return unescaped(text[1:]) if text[0] == "r" else None


def thread_scope(number: int) -> StateScope:
    """The scope of a thread. By a number, since every record has its scope in it, and the ids of threads are long."""
    return StateScope.custom(_THREAD + (number_text(number).lstrip(_DIGITS[0]) or _DIGITS[0]))
