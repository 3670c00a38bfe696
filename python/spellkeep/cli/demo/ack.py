"""An acknowledgement on its way through the pipe, and the digest that stands for a message."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

__all__ = ["ACK_BYTES", "READY", "Ack", "digest"]

_LAYOUT = struct.Struct("<IIQQ16s")
# Far below PIPE_BUF, so one write is never cut in two, however its writer ends.
ACK_BYTES = _LAYOUT.size
_NO_AGENT = 0xFFFF_FFFF


@dataclass(frozen=True)
class Ack:
    """Written right after ``handle.set`` returned ``version`` for message ``index`` of agent number ``agent``."""

    agent: int
    index: int
    version: int
    took_ns: int
    digest: bytes

    def pack(self) -> bytes:
        """Its bytes."""
        return _LAYOUT.pack(self.agent, self.index, self.version, self.took_ns, self.digest)

    @classmethod
    def unpack(cls, raw: bytes) -> Ack:
        """The acknowledgement of these bytes."""
        return cls(*_LAYOUT.unpack(raw))

    @property
    def is_ready(self) -> bool:
        """Whether it only says that the store is open and the replay begins."""
        return self.agent == _NO_AGENT


READY = Ack(_NO_AGENT, 0, 0, 0, b"")


def digest(message: Any) -> bytes:
    """16 bytes that another message, or the same one with its members in another order, does not have."""
    return hashlib.blake2b(json.dumps(message).encode("utf-8", "surrogatepass"), digest_size=16).digest()
