"""The end of the process: whoever is saved automatically is saved once more.

At SIGTERM nothing is saved in the signal handler, which may have interrupted the agent half way through a change, or a
save. It wakes a thread, and returns. The thread lets the agents come to a call of their AutoSave, saves them, and sends
the signal again; then the handler does what would have been done without it. A second SIGTERM from outside does that
at once.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spellkeep.agent.autosave import AutoSave

_saves: dict[int, AutoSave] = {}
# The handler that was there, while ours is installed.
_previous: Any = None
_installed = False
_pid = 0
# Since the last SIGTERM: nothing, the thread saves, the handler was called again.
_IDLE, _SAVING, _ENDING = range(3)
_phase = _IDLE
_AGAIN_S = 0.02
_inbox: SimpleQueue[bool] = SimpleQueue()


def add(save: AutoSave) -> None:
    """Save this one at the end of the process."""
    _saves[id(save)] = save
    if save.options.on_sigterm:
        _install()


def remove(save: AutoSave) -> None:
    """Forget it. Behind the last one, the handler that was there before is there again."""
    _saves.pop(id(save), None)
    if _installed and not _on_sigterm() and _in_main_thread():
        _uninstall()


def _on_sigterm() -> list[AutoSave]:
    return [save for save in list(_saves.values()) if save.options.on_sigterm]


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _install() -> None:
    global _installed, _previous, _inbox, _pid
    # A handler that Python does not know cannot be called.
    if _installed or not _in_main_thread() or signal.getsignal(signal.SIGTERM) is None:
        return
    _inbox, _pid = SimpleQueue(), os.getpid()
    threading.Thread(target=_save_on_sigterm, args=(_inbox,), name="autosave sigterm", daemon=True).start()
    _previous = signal.signal(signal.SIGTERM, _handle)
    _installed = True


def _uninstall() -> None:
    global _installed, _phase
    # Somebody else's handler may be there by now, and knows of ours.
    if signal.getsignal(signal.SIGTERM) is _handle:
        signal.signal(signal.SIGTERM, _previous)
    _installed, _phase = False, _IDLE
    _inbox.put(False)


def _handle(signum: int, frame: FrameType | None) -> None:
    global _phase
    if os.getpid() != _pid:
        # A forked child that did not come to `_begin_anew` yet.
        return _forward(signum, frame)
    if _phase == _IDLE and _on_sigterm():
        _phase = _SAVING
        _inbox.put(True)
        return
    if _phase == _SAVING:
        _phase = _ENDING
        for save in _on_sigterm():
            try:
                save._end_in_handler()
            except Exception as failure:
                _report(failure)
    _phase = _IDLE
    _forward(signum, frame)


def _forward(signum: int, frame: FrameType | None) -> None:
    if callable(_previous):
        _previous(signum, frame)
    elif _previous == signal.SIG_DFL:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)


def _was_told_already() -> bool:
    # An event loop is told of each signal when it comes, beside the handler; a second time would be another signal.
    return getattr(_previous, "__module__", None) == "asyncio.unix_events"


def _save_on_sigterm(inbox: SimpleQueue[bool]) -> None:
    global _phase
    main = threading.main_thread().ident
    assert main is not None
    while inbox.get():
        saves = _on_sigterm()
        for save in saves:
            save._begin_end()
        for save in saves:
            if (failure := save._wait_end()) is not None:
                _report(failure)
        if _was_told_already():
            _phase = _IDLE
        # A signal that comes just before the main thread begins to wait does not wake it.
        while _phase == _SAVING:
            signal.pthread_kill(main, signal.SIGTERM)
            time.sleep(_AGAIN_S)


def _report(failure: BaseException) -> None:
    # Nobody is left to catch it.
    sys.excepthook(type(failure), failure, failure.__traceback__)


@atexit.register
def _save_at_exit() -> None:
    for save in list(_saves.values()):
        if save.options.on_exit:
            try:
                save.stop()
            except Exception as failure:
                _report(failure)


def _begin_anew() -> None:
    """In a forked child: the agents are the parent's, and so are the threads."""
    global _installed, _phase
    if _installed and signal.getsignal(signal.SIGTERM) is _handle:
        signal.signal(signal.SIGTERM, _previous)
    _saves.clear()
    _installed, _phase = False, _IDLE


os.register_at_fork(after_in_child=_begin_anew)
