"""The history of each room's figures: ``make dashboard``, ``make bench-compare BASE=``. The public API only."""

from __future__ import annotations

import sys
from pathlib import Path

# Values and workloads are those of `make bench`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
