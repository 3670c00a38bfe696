"""Plant each defect of mutants.toml in a private copy of the tree and see whether the test named for it goes red.

A test that is red without the defect, a defect that does not compile and a test that does not end prove nothing: they
count as not caught. The copy and what is built from it stay in target/mutants, so that the next run builds less.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mutants.listed import Mutant, read

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "target" / "mutants"
TREE = HOME / "tree"
BUILT = HOME / "cargo"
SEED = 1
BUILD_TIMEOUT_S = 1200
TEST_TIMEOUT_S = 420
# Each defect is a build: of what is changed, a quick one, which runs half as fast and is there in a tenth of the time.
PROFILE = ("--profile", "checked", "--locked")
QUICK = tuple(
    part
    for package in ("spellkeep-core", "spellkeep-py")
    for how in ("opt-level=1", "codegen-units=64")
    for part in ("--config", f"profile.checked.package.{package}.{how}")
)


class Outcome(Enum):
    """What a test said."""

    GREEN = "green"
    RED = "red"
    NO_BUILD = "does not build"
    NO_END = "does not end"
    NO_TEST = "no such test"


def copy_tree() -> None:
    """Make the copy equal to the checkout. Files that are equal keep their times, so cargo builds nothing again."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    wanted = {TREE / path: ROOT / path for path in listed if path and (ROOT / path).is_file()}
    for path in [path for path in TREE.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()
    for copy, original in wanted.items():
        if not copy.is_file() or copy.read_bytes() != original.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, copy)


class Runner:
    """Builds and runs tests in the copy, all with one seed."""

    def __init__(self, seed: int, log: Path) -> None:
        self._seed = seed
        self._log = log
        self._env = {
            **os.environ,
            "CARGO_TARGET_DIR": str(BUILT),
            "CARGO_INCREMENTAL": "1",
            "CARGO_TERM_COLOR": "never",
            "PYO3_PYTHON": sys.executable,
            "PYO3_BUILD_EXTENSION_MODULE": "1",
            "PYTHONPATH": str(TREE / "python"),
            # A defect may leave size and second of a file as they were, and then its compiled form would be believed.
            "PYTHONDONTWRITEBYTECODE": "1",
            "SPELLKEEP_SEED": str(seed),
        }

    def outcome(self, mutant: Mutant) -> Outcome:
        """Build what the mutant's test needs from the copy as it is, and run the test."""
        return self._pytest(mutant.test) if mutant.in_python else self._cargo(mutant.test)

    def _call(self, command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str] | None:
        """None when it took too long. Its output goes to the log, too."""
        with self._log.open("a") as log:
            print("$", *command, file=log, flush=True)
            process = subprocess.Popen(
                command, cwd=TREE, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", start_new_session=True,
            )  # fmt: skip
            try:
                output = process.communicate(timeout=timeout_s)[0]
            except BaseException as failure:
                # Whatever it started goes with it.
                os.killpg(process.pid, 9)
                process.communicate()
                if isinstance(failure, subprocess.TimeoutExpired):
                    return None
                raise
            log.write(output)
        return subprocess.CompletedProcess(command, process.returncode, output)

    def _cargo(self, test: str) -> Outcome:
        target, name = test.split("::", 1)
        chosen = ["--lib"] if target == "lib" else ["--test", target]
        command = ["cargo", *QUICK, "test", *PROFILE, "--package", "spellkeep-core", *chosen]
        built = self._call([*command, "--no-run"], BUILD_TIMEOUT_S)
        if built is None or built.returncode != 0:
            return Outcome.NO_BUILD
        ran = self._call([*command, "--", "--exact", name], TEST_TIMEOUT_S)
        if ran is None:
            return Outcome.NO_END
        if "running 1 test" not in ran.stdout:
            return Outcome.NO_TEST
        return Outcome.GREEN if ran.returncode == 0 else Outcome.RED

    def _pytest(self, test: str) -> Outcome:
        command = ["cargo", *QUICK, "build", *PROFILE, "--package", "spellkeep-py"]
        built = self._call(command, BUILD_TIMEOUT_S)
        if built is None or built.returncode != 0:
            return Outcome.NO_BUILD
        library = next(path for path in (BUILT / "checked").glob("lib_core.*") if path.suffix in {".so", ".dylib"})
        shutil.copyfile(library, TREE / "python" / "spellkeep" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")
        pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        ran = self._call([*pytest, f"--hypothesis-seed={self._seed}", test], TEST_TIMEOUT_S)
        if ran is None:
            return Outcome.NO_END
        if ran.returncode == 0:
            return Outcome.GREEN
        # Below 0 the interpreter died of it; beyond 1 pytest could not run the test.
        return Outcome.RED if ran.returncode <= 1 else Outcome.NO_TEST

    def plant(self, mutant: Mutant) -> Outcome:
        """As `outcome`, with the defect in the copy; afterwards it is gone again."""
        file = TREE / mutant.file
        text = file.read_text(encoding="utf-8")
        file.write_text(mutant.applied(text), encoding="utf-8")
        try:
            tries = (self.outcome(mutant) for _ in range(mutant.tries))
            return next((outcome for outcome in tries if outcome is not Outcome.GREEN), Outcome.GREEN)
        finally:
            file.write_text(text, encoding="utf-8")


def verdict(before: Outcome, after: Outcome | None) -> str:
    """`caught`, or why not. `after` is None when the defect was not tried."""
    if before is not Outcome.GREEN or after is None:
        return f"UNPROVEN: without the defect the test: {before.value}"
    return {Outcome.RED: "caught", Outcome.GREEN: "SURVIVED"}.get(after, f"UNPROVEN: {after.value}")


def chosen(mutants: Sequence[Mutant], only: Sequence[str]) -> list[tuple[int, Mutant]]:
    """Mutants with their numbers; of `only`, a number chooses by number and a text every name that contains it."""
    numbered = list(enumerate(mutants, 1))
    if not only:
        return numbered
    return [(n, m) for n, m in numbered if any(o == str(n) or (not o.isdigit() and o in m.name) for o in only)]


def main() -> int:
    """The command. Returns 0 when every chosen mutant was caught."""
    parser = argparse.ArgumentParser(prog="python tests/mutants/run.py", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="N|NAME", help="number or part of a name")
    parser.add_argument("--seed", type=int, default=SEED, help="of the random tests (default %(default)s)")
    parser.add_argument("--list", action="store_true", help="print numbers, names and tests, and run nothing")
    given = parser.parse_args()
    wanted = chosen(read(), given.only)
    if not wanted:
        parser.error("no mutant has that number or name")
    if given.list:
        print(*(f"{number:3} {mutant.name}\n    {mutant.test}" for number, mutant in wanted), sep="\n")
        return 0
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error(f"another run uses {HOME}")
        return run(wanted, given.seed)


def run(wanted: Sequence[tuple[int, Mutant]], seed: int) -> int:
    """Try them one after the other."""
    log = HOME / "log.txt"
    log.write_text("")
    copy_tree()
    runner = Runner(seed, log)
    tests = {mutant.test: mutant for _, mutant in wanted}
    print(f"seed {seed}; {len(tests)} tests without a defect first, then {len(wanted)} mutants", flush=True)
    began = time.monotonic()
    before: dict[str, Outcome] = {}
    for test, mutant in tests.items():
        before[test] = runner.outcome(mutant)
        if before[test] is not Outcome.GREEN:
            print(f"        {before[test].value}: {test}", flush=True)
    print(f"        done in {time.monotonic() - began:.0f} s", flush=True)
    caught_count = 0
    for number, mutant in wanted:
        start = time.monotonic()
        after = runner.plant(mutant) if before[mutant.test] is Outcome.GREEN else None
        says = verdict(before[mutant.test], after)
        caught_count += says == "caught"
        note = "" if says == "caught" else f"\n        {mutant.file}: {mutant.test}"
        print(f"{number:3} {time.monotonic() - start:5.1f} s  {says}: {mutant.name}{note}", flush=True)
    print(f"{caught_count}/{len(wanted)} caught in {time.monotonic() - began:.0f} s; what cargo and pytest said: {log}")
    return 0 if caught_count == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
