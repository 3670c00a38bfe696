"""On what something was measured, for the page that shows the figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

_PACKAGES = (
    "ormsgpack",
    "lmdb",
    "rocksdict",
    "diskcache",
    "redis",
    "langgraph",
    "langgraph-checkpoint",
    "langgraph-checkpoint-sqlite",
)


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _file_system(folder: Path) -> str:
    # Not `stat -f`, which has one name for ext2, ext3 and ext4.
    return (_said("df", "--output=fstype", str(folder)).split() or ["?"])[-1]


def describe(folder: Path) -> dict[str, str]:
    """What a reader has to know to compare: processor, system, file system, versions, load at the start."""
    free = "without a GIL" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with the GIL"
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    versions = {name: found for name in _PACKAGES if (found := _version(name))}
    versions["SQLite"] = sqlite3.sqlite_version
    if shutil.which("redis-server"):
        words = _said("redis-server", "--version").split()
        versions["redis-server"] = next((word[2:] for word in words if word.startswith("v=")), "?")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _said("git", "describe", "--always", "--dirty", "--abbrev=10"),
        "processor": f"{_processor()}, {os.cpu_count()} processors, {memory_gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {_file_system(folder)}",
        "python": f"{platform.python_implementation()} {platform.python_version()} {free}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
        "command": "python " + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
