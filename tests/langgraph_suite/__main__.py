"""``python -m langgraph_suite``: run LangGraph's tests with its classes and with ours, and compare.

It works in target/langgraph-suite, where `make` has put the source distributions and an environment for them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "target" / "langgraph-suite"
SUITES = ("langgraph", "langgraph_checkpoint", "langgraph_checkpoint_sqlite")


def _unpacked(name: str) -> Path:
    (archive,) = PLACE.glob(f"{name}-[0-9]*.tar.gz")
    folder = PLACE / archive.name.removesuffix(".tar.gz")
    if not folder.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(PLACE, filter="data")
    return folder


def _run(folder: Path, swap: str, more: list[str]) -> dict[str, dict[str, str]]:
    results = PLACE / f"{folder.name}-{swap}.json"
    results.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "SWAP": swap,
        "RESULTS": str(results),
        "NO_DOCKER": "true",
        "PYTHONPATH": os.pathsep.join((str(ROOT / "python"), str(ROOT / "tests" / "langgraph_suite"))),
    }
    command = [
        *(sys.executable, "-m", "pytest", "tests", "-p", "swap", "-q", "-n", "2", "--no-header", "--timeout", "30"),
        # Three tests of LangGraph hang with its own AsyncSqliteSaver; only this method gets out of them.
        *("--timeout-method", "thread"),
        *("-o", "addopts=--strict-config", "-o", "asyncio_mode=auto", "-W", "ignore", "--tb=short"),
        *("--continue-on-collection-errors", *more),
    ]
    with (PLACE / f"{folder.name}-{swap}.log").open("w") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    found: dict[str, dict[str, str]] = json.loads(results.read_text())
    return found


def main() -> int:
    """Print, for each suite, what passes stock and does not pass ours; 1 when there is anything."""
    parser = argparse.ArgumentParser(prog="python -m langgraph_suite")
    parser.add_argument("--only", choices=SUITES, help="one of the suites")
    parser.add_argument("more", nargs="*", help="further arguments for pytest, behind --")
    chosen = parser.parse_args()
    known = json.loads((Path(__file__).parent / "exceptions.json").read_text())
    failed = 0
    for name in [chosen.only] if chosen.only else SUITES:
        folder = _unpacked(name)
        stock, ours = (_run(folder, swap, chosen.more) for swap in ("stock", "ours"))
        passing = [test for test, outcome in stock["outcomes"].items() if outcome == "passed"]
        worse = [test for test in passing if ours["outcomes"].get(test) != "passed"]
        reasons = {test: known.get(f"{folder.name}/{test.partition('[')[0]}") for test in worse}
        print(f"{folder.name}: {len(passing)} pass with the stock class, {len(passing) - len(worse)} of them with ours")
        for test in worse:
            print(f"  {test}: {reasons[test] or 'FAILS: ' + ours['reasons'].get(test, 'not run')}")
        failed += sum(not reason for reason in reasons.values())
    print(f"{failed} unexplained")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
