"""Small file systems to run full."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.child import Mount


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small file system, and unmounts it at the end of the test."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted: list[Path] = []

    def mount_one(*options: str) -> Path:
        place = tmp_path / f"mount{len(mounted)}"
        place.mkdir()
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"mount {' '.join(options)}: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount_one
    # Stores that only a traceback still knows keep their files.
    gc.collect()
    for place in reversed(mounted):
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request: pytest.FixtureRequest, mount: Mount, tmp_path: Path) -> Path:
    """An empty file system of a few MiB."""
    if request.param == "tmpfs":
        return mount("-t", "tmpfs", "-o", "size=2m", "none")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True, capture_output=True)
    return mount("-o", "loop", str(image))
