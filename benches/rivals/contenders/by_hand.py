"""What one would write for oneself: a dict of packed values, alone and with a file behind it."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import ormsgpack

from rivals.contenders.protocol import Contender, Pairs, Setting

_FRAME = struct.Struct("<II")
_PAIR = struct.Struct("<II")


class PackedDict(Contender):
    """Memory only."""

    name = "dict of packed values"
    survives = "none"
    words = "nothing"
    settings = "d[key] = ormsgpack.packb(value)"
    lacks: ClassVar[dict[str, str]] = {"open": "keeps nothing"}

    def __init__(self, folder: Path, setting: Setting) -> None:
        values: dict[str, bytes] = {}
        packb, unpackb = ormsgpack.packb, ormsgpack.unpackb

        def set(key: str, value: Any) -> None:
            values[key] = packb(value)

        def get(key: str) -> Any:
            return unpackb(values[key])

        self.set, self.get = set, get  # type: ignore[method-assign]
        self._values, self._lock = values, threading.Lock()

    def close(self) -> None:
        self._values.clear()

    def batch(self, pairs: Pairs) -> None:
        packb = ormsgpack.packb
        self._values.update({key: packb(value) for key, value in pairs})

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))

    def read(self, key: str) -> tuple[Any, bytes]:
        packed = self._values[key]
        return ormsgpack.unpackb(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        with self._lock:
            if self._values[key] is not seen:
                return False
            self.set(key, value)
            return True


class ByHand(PackedDict):
    """A frame with length and checksum for each write, appended with one system call, and the dict."""

    name = "by hand: packb, framed write, dict"
    survives = "kill"
    words = "kill -9; of a power loss what the kernel wrote"
    settings = "os.write of length, CRC-32, key, ormsgpack.packb(value) to a file opened with O_APPEND; then the dict"
    lacks: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__(folder, setting)
        folder.mkdir(exist_ok=True)
        path = folder / "log"
        if path.exists():
            self._replay(path.read_bytes())
        self._file = file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        values, packb, write, crc32 = self._values, ormsgpack.packb, os.write, zlib.crc32
        frame, pair = _FRAME.pack, _PAIR.pack

        def set(key: str, value: Any) -> None:
            name, packed = key.encode(), packb(value)
            body = pair(len(name), len(packed)) + name + packed
            write(file, frame(len(body), crc32(body)) + body)
            values[key] = packed

        # Two threads may append in one order and put into the dict in another.
        lock = self._lock

        def locked_set(key: str, value: Any) -> None:
            with lock:
                set(key, value)

        self._guard = lock if setting.threads > 1 else nullcontext()
        self._unlocked_set = set
        self.set = locked_set if setting.threads > 1 else set  # type: ignore[method-assign]

    def _replay(self, log: bytes) -> None:
        at = 0
        while at < len(log):
            length, checksum = _FRAME.unpack_from(log, at)
            body = log[at + _FRAME.size : at + _FRAME.size + length]
            if len(body) < length or zlib.crc32(body) != checksum:
                break
            self._apply(body)
            at += _FRAME.size + length

    def _apply(self, body: bytes) -> None:
        at = 0
        while at < len(body):
            name_len, value_len = _PAIR.unpack_from(body, at)
            split = at + _PAIR.size + name_len
            self._values[body[at + _PAIR.size : split].decode()] = body[split : split + value_len]
            at = split + value_len

    def close(self) -> None:
        os.close(self._file)
        super().close()

    def batch(self, pairs: Pairs) -> None:
        packed = [(key, key.encode(), ormsgpack.packb(value)) for key, value in pairs]
        body = b"".join(_PAIR.pack(len(name), len(value)) + name + value for _, name, value in packed)
        with self._guard:
            os.write(self._file, _FRAME.pack(len(body), zlib.crc32(body)) + body)
            self._values.update({key: value for key, _, value in packed})

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        with self._lock:
            if self._values[key] is not seen:
                return False
            self._unlocked_set(key, value)
            return True
