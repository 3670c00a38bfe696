"""Planted: syncs that say they were done, and were not. In place of a store that forgets one, to see it noticed."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

# By machine: the call seccomp; then fsync, fdatasync, msync, sync_file_range, syncfs.
_CALLS = {"x86_64": (317, (74, 75, 26, 277, 306)), "aarch64": (277, (82, 83, 227, 84, 267))}
_PR_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _ALL_THREADS = 38, 1, 1
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ANSWER_0 = 0x7FFF0000, 0x00050000


def can_lie() -> bool:
    """Whether the numbers of this machine's system calls are known here."""
    return platform.machine() in _CALLS


def lie_about_syncs() -> None:
    """From now on every sync of this process, in each of its threads, returns 0 and does nothing."""
    seccomp, syncs = _CALLS[platform.machine()]
    steps = [(_LOAD, 0, 0, 0)]
    steps += [(_EQUAL, len(syncs) - place, 0, number) for place, number in enumerate(syncs)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ANSWER_0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    failed = failed or libc.syscall(seccomp, _SET_MODE_FILTER, _ALL_THREADS, program)
    assert not failed, os.strerror(ctypes.get_errno())
