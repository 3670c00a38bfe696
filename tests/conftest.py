"""How the tests run here: hypothesis without deadlines (machines are shared), interrupts that interrupt."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A shell that starts the tests in the background has them ignore interrupts, and the processes they start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, max_examples=200)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
