"""What the commands print: values as JSON, and tables.

JSON has no bytes, tuples, dates, ... Such a value is shown as an object with one member whose name starts with ``$``:
``{"$bytes": "<base64>"}``. A dict that itself has such a member, or a key that is not a string, is shown as
``{"$map": [[key, value], ...]}``, so that the two are never taken for each other.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import re
import sys
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import click

from spellkeep.value import Tagged

__all__ = ["counted", "echo", "echo_json", "echo_table", "one_line", "plain", "scalar", "text_of", "to_json"]

# Python refuses to write longer integers in decimal by default (4,300 digits).
_DECIMAL_BITS_MAX = 14_000
# At most four bytes each.
_PIECE_CHARACTERS = 1024
_CONTROL = re.compile(r"[\x7f-\x9f\u2028\u2029]")


def _wtf8(text: str) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"$wtf8": _base64(text.encode("utf-8", "surrogatepass"))}
    return text


def _base64(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode()


def _float(number: float) -> Any:
    return number if math.isfinite(number) else {"$float": repr(number)}


def _items(values: Iterable[Any]) -> list[Any]:
    # A loop and not a comprehension: one interpreter frame per level lets the deepest value through.
    shown = []
    for value in values:
        shown.append(plain(value))
    return shown


def _dict(value: dict[Any, Any]) -> Any:
    clear = {}
    for key, inner in value.items():
        if type(key) is not str or key.startswith("$") or type(_wtf8(key)) is not str:
            return {"$map": [[plain(key), plain(inner)] for key, inner in value.items()]}
        clear[key] = plain(inner)
    return clear


_SHOW: dict[type, Any] = {
    str: _wtf8,
    float: _float,
    dict: _dict,
    list: _items,
    int: lambda v: v if v.bit_length() <= _DECIMAL_BITS_MAX else {"$int": hex(v)},
    tuple: lambda v: {"$tuple": _items(v)},
    set: lambda v: {"$set": _items(v)},
    frozenset: lambda v: {"$frozenset": _items(v)},
    bytes: lambda v: {"$bytes": _base64(v)},
    bytearray: lambda v: {"$bytearray": _base64(v)},
    complex: lambda v: {"$complex": [_float(v.real), _float(v.imag)]},
    decimal.Decimal: lambda v: {"$decimal": str(v)},
    uuid.UUID: lambda v: {"$uuid": str(v)},
    datetime.datetime: lambda v: {"$datetime": v.isoformat()},
    datetime.date: lambda v: {"$date": v.isoformat()},
    datetime.time: lambda v: {"$time": v.isoformat()},
    datetime.timedelta: lambda v: {"$timedelta": [v.days, v.seconds, v.microseconds]},
    Tagged: lambda v: {"$tagged": {"tag": v.tag, "version": v.version, "payload": plain(v.payload)}},
}


def plain(value: Any) -> Any:
    """The value out of what JSON can say, with ``$`` forms for the rest."""
    if value is None or value is True or value is False:
        return value
    show = _SHOW.get(type(value))
    if show is not None:
        return show(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        # Arrays and numpy scalars, without importing numpy.
        return {"$ndarray": {"dtype": str(value.dtype), "shape": list(value.shape), "data": plain(value.tolist())}}
    return {"$object": repr(value)}


def to_json(document: Any, *, indent: int | None = None) -> str:
    """The text of a document that ``plain`` made. Non-ASCII stays readable where the output can say it."""
    utf8 = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") == "utf8"
    text = json.dumps(document, ensure_ascii=not utf8, allow_nan=False, indent=indent)
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def echo(text: str) -> None:
    """Print text and the end of a line, however long it is."""
    # With PYTHONUNBUFFERED Python drops the rest of a write that a pipe took in part; up to PIPE_BUF it takes all.
    for at in range(0, len(text), _PIECE_CHARACTERS):
        click.echo(text[at : at + _PIECE_CHARACTERS], nl=False)
    click.echo()


def echo_json(document: Any) -> None:
    """Print one document on one line."""
    echo(to_json(document))


def one_line(value: Any) -> str:
    """A value for a row of a table."""
    return to_json(plain(value))


def text_of(moment: datetime.datetime) -> str:
    """A time: ISO 8601 in UTC with microseconds."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def counted(count: int, noun: str) -> str:
    """``1 key``, ``1,200 keys``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def scalar(value: Any) -> str:
    """A figure for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def echo_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on a terminal, and one line of tab-separated fields per row elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(field) for field in row))
    Console().print(table)
