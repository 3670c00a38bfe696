"""The standard library's shelf: pickled values in whichever dbm there is."""

from __future__ import annotations

import dbm
import pickle
import shelve
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

from rivals.contenders.protocol import Contender, Pairs, Setting


def _dbm() -> str:
    for name in ("gnu", "ndbm", "dumb"):
        try:
            return __import__(f"dbm.{name}", fromlist=["open"]).__name__
        except ImportError:
            continue
    return dbm.__name__


class Shelf(Contender):
    """A dict on disk that promises nothing of a crash."""

    name = "shelve"
    survives = "none"
    words = "nothing is promised"
    settings = f"{_dbm()}, pickle protocol {pickle.HIGHEST_PROTOCOL}, writeback=False"
    lacks: ClassVar[dict[str, str]] = {"batch": "no atomic batch"}

    def __init__(self, folder: Path, setting: Setting) -> None:
        folder.mkdir(exist_ok=True)
        self._shelf = shelf = shelve.open(str(folder / "shelf"), protocol=pickle.HIGHEST_PROTOCOL)  # noqa: SIM115
        self._lock = threading.Lock()
        guard = self._lock if setting.threads > 1 else nullcontext()

        def set(key: str, value: Any) -> None:
            with guard:
                shelf[key] = value

        def get(key: str) -> Any:
            with guard:
                return shelf[key]

        self.set, self.get = set, get  # type: ignore[method-assign]

    def close(self) -> None:
        self._shelf.close()

    def batch(self, pairs: Pairs) -> None:
        """Not atomic: for filling it only."""
        self._shelf.update(pairs)

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._shelf if key.startswith(prefix))

    def read(self, key: str) -> tuple[Any, bytes]:
        packed = self._shelf.dict[key.encode()]
        return pickle.loads(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        with self._lock:
            if self._shelf.dict[key.encode()] != seen:
                return False
            self._shelf[key] = value
            return True
