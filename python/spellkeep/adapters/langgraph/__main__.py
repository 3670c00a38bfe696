"""``python -m spellkeep.adapters.langgraph FILE STORE``: take over the checkpoints of LangGraph's SQLite saver."""

from __future__ import annotations

import argparse
import sys

from spellkeep.adapters.langgraph.importer import import_sqlite
from spellkeep.adapters.langgraph.saver import SpellkeepSaver


def main() -> int:
    """Import and print the report; 1 when something could not be read."""
    parser = argparse.ArgumentParser(prog="python -m spellkeep.adapters.langgraph", description=__doc__)
    parser.add_argument("file", help="written by SqliteSaver; it is only read")
    parser.add_argument("store", help="directory of the Spellkeep store, made when there is none")
    chosen = parser.parse_args()

    def show(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"\r{done} of {total} checkpoints", end="", file=sys.stderr, flush=True)

    with SpellkeepSaver.from_conn_string(chosen.store) as saver:
        report = import_sqlite(chosen.file, saver, progress=show if sys.stderr.isatty() else None)
    print(report)
    return 1 if report.unread else 0


if __name__ == "__main__":
    raise SystemExit(main())
