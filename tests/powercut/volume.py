"""A file system in a file, whose page cache can be lost at any moment."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same number, and so is the flag: stop now, do not write the log.
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_CLONE_NEWNS = 0x20000
_SYNC_FILE_RANGE_WRITE = 2
_PAGE_BYTES = 4096
_UNMOUNT_S = 60.0

# The smallest that their mkfs makes without complaint, and the files are sparse.
_SIZE_BYTES = {"ext4": 64 << 20, "xfs": 320 << 20}
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
KINDS = tuple(_MAKE)

_libc = ctypes.CDLL(None, use_errno=True)


class Unusable(Exception):
    """The file system cannot be mounted."""


def missing(kind: str) -> str | None:
    """Why this machine cannot cut the power of such a file system; None when it can."""
    if not sys.platform.startswith("linux"):
        return "only Linux has the shutdown ioctl"
    for tool in (_MAKE[kind][0], "mount", "umount"):
        if shutil.which(tool) is None:
            return f"{tool} is not on PATH"
    if os.geteuid() != 0:
        return "mounting takes root"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    return None


def enter_private_mounts() -> None:
    """Mounts of this process are from now on its own: nobody sees them, and they end with it, however it ends.

    Raises: Unusable where that is not allowed.
    """
    if _libc.unshare(_CLONE_NEWNS):
        raise Unusable(f"no mounts of its own: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unusable(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A signal that ends the process comes behind this: what is mounted and what is said to be stay the same."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Volume:
    """One file system of a kind, as a context manager that leaves nothing behind."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.image, self.root = folder / f"{kind}.img", folder / kind
        self.mounted = False

    def __enter__(self) -> Volume:
        self.root.mkdir()
        self.make()
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            self.unmount()
        self.image.unlink(missing_ok=True)
        self.root.rmdir()

    def make(self) -> None:
        """Afterwards it is empty and mounted. Raises: Unusable."""
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(_SIZE_BYTES[self.kind])
        _run(*_MAKE[self.kind], str(self.image))
        self.mount()

    def mount(self) -> None:
        """The loop device is detached by the kernel once nothing is mounted from it. Raises: Unusable."""
        with _undisturbed():
            _run("mount", "-t", self.kind, "-o", "loop,nosuid,nodev", str(self.image), str(self.root))
            self.mounted = True

    def unmount(self) -> None:
        """Afterwards nothing is mounted, and what the file system had not written is gone."""
        deadline = time.monotonic() + _UNMOUNT_S
        while True:
            try:
                with _undisturbed():
                    _run("umount", str(self.root))
                    self.mounted = False
                return
            except Unusable:
                # A killed process may be on its way out still.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def cut(self) -> None:
        """The power goes: afterwards nothing reaches the device."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def remount(self) -> None:
        """What comes after a cut: everything of it that was in memory is gone. Raises: Unusable."""
        self.unmount()
        self.mount()

    def remove(self, folder: Path) -> None:
        """Afterwards the folder is gone for good. (Removed and not synced, it would be back after the next cut.)"""
        if folder.exists():
            shutil.rmtree(folder)
        root = os.open(self.root, os.O_RDONLY)
        failed = _libc.syncfs(root)
        os.close(root)
        if failed:
            raise Unusable(f"syncfs of {self.root}: {os.strerror(ctypes.get_errno())}")

    def stir(self, folder: Path, rng: random.Random) -> None:
        """Have the kernel write back some pages and not others, as it does when memory is short or time has passed."""
        for path in sorted(folder.rglob("*")):
            if rng.random() < 0.5:
                continue
            try:
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            pages = max(1, os.fstat(file).st_size // _PAGE_BYTES)
            for _ in range(3):
                start, count = rng.randrange(pages), rng.randint(1, 4)
                where = (ctypes.c_int64(start * _PAGE_BYTES), ctypes.c_int64(count * _PAGE_BYTES))
                _libc.sync_file_range(file, *where, _SYNC_FILE_RANGE_WRITE)
            os.close(file)
        if rng.random() < 0.5:
            # Somebody else's sync commits the metadata of all.
            write_synced(self.root / "elsewhere", b"x")

    def forgets(self) -> bool:
        """Whether a cut here is one: it loses what was not synced and keeps what was."""
        synced, unsynced = self.root / "synced", self.root / "unsynced"
        write_synced(synced, b"s" * 10_000)
        write_synced(unsynced, b"s" * 10_000)
        with open(unsynced, "r+b") as file:
            file.write(b"u" * 10_000)
        self.cut()
        self.remount()
        kept = synced.read_bytes() == unsynced.read_bytes() == b"s" * 10_000
        synced.unlink()
        unsynced.unlink()
        return kept


def write_synced(path: Path, data: bytes) -> None:
    """Afterwards the file is there, whatever happens."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
