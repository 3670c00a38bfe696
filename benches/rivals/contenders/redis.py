"""Redis on a Unix socket: a server that each contender starts and stops for itself."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import ormsgpack
import redis

from rivals.contenders.protocol import Contender, Pairs, Setting

# Its documentation's way to compare and set in one round trip.
_COMPARE_AND_SET = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Redis(Contender):
    """Packed values under string keys."""

    name = "Redis, AOF everysec"
    survives = "kill"
    words = "kill -9, of the server but for a write put off by a slow sync; a power loss but for the last 1 to 2 s"
    settings = 'appendonly yes, appendfsync everysec, save "", Unix socket, redis-py with hiredis'

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("redis-server") else "redis-server is not on PATH (apt install redis-server)"

    def __init__(self, folder: Path, setting: Setting) -> None:
        folder.mkdir(exist_ok=True)
        # The path of a socket is at most about 100 characters long.
        self._home = tempfile.TemporaryDirectory(prefix="bench-redis-")
        socket = f"{self._home.name}/s"
        options = {"port": "0", "unixsocket": socket, "dir": str(folder.resolve()), "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "everysec", "daemonize": "no"}
        command = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._client = client = redis.Redis(unix_socket_path=socket)
        self._wait()
        packb, unpackb, put, fetch = ormsgpack.packb, ormsgpack.unpackb, client.set, client.get

        def set(key: str, value: Any) -> None:
            put(key, packb(value))

        def get(key: str) -> Any:
            return unpackb(fetch(key))

        self.set, self.get = set, get  # type: ignore[method-assign]
        self._script = client.register_script(_COMPARE_AND_SET)

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                self._client.ping()
                return
            except (redis.ConnectionError, redis.BusyLoadingError) as failure:
                if time.monotonic() > until or self._server.poll() is not None:
                    self._stop()
                    raise RuntimeError("redis-server does not answer") from failure
                time.sleep(0.001)

    def _stop(self) -> None:
        self._server.terminate()
        self._server.wait(30)
        self._home.cleanup()

    def close(self) -> None:
        self._client.close()
        self._stop()

    def batch(self, pairs: Pairs) -> None:
        packb = ormsgpack.packb
        self._client.mset({key: packb(value) for key, value in pairs})

    def keys(self, prefix: str) -> list[str]:
        found = self._client.scan_iter(match=prefix + "*", count=10_000)
        return sorted(key.decode() for key in found)

    def read(self, key: str) -> tuple[Any, bytes]:
        packed = self._client.get(key)
        return ormsgpack.unpackb(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        return self._script(keys=[key], args=[seen, ormsgpack.packb(value)]) == 1

    def checkpoint(self) -> None:
        if not self._client.info("persistence")["aof_rewrite_in_progress"]:
            self._client.bgrewriteaof()

    @property
    def server_bytes(self) -> int:
        """Memory of the server, as it counts it."""
        return self._client.info("memory")["used_memory"]
