"""AutoSave on disks that are full, and on disks whose syncs fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from crash.autosaved import kept, lived


def test_a_full_disk_fails_saves_in_the_open_and_they_are_made_once_there_is_room(small_disk: Path) -> None:
    script = """
    import shutil
    from pathlib import Path
    ballast = Path(store).parent / "ballast"
    ballast.write_bytes(b"x" * (512 << 10))
    options = {"attempts_max": 3, "backoff_s": 0.001, "breaker": BreakerOptions(samples_min=3, open_s=3600)}
    failed = 0
    with state, AutoSave(state, agent, AutoSave.testing, **options) as saves:
        for number in range(100_000):
            agent.messages = agent.messages[-20:]
            agent.say(f"{number} " + "x" * 2000)
            try:
                saves.save()
            except errors.StorageFailed as error:
                failed += 1
                if error.code == "autosave.breaker_open":
                    assert error.__cause__.code == "storage.full"
                    break
                assert error.code == "storage.full"
        metrics = saves.metrics
        assert (metrics.breaker, metrics.failed, metrics.attempted) == ("open", failed, metrics.succeeded + failed)
        assert metrics.retried >= 2
        ballast.unlink()
        # The end tries whatever the breaker says.
    print(number)
    """
    done = lived(script, small_disk / "s")
    assert done.returncode == 0, done.stderr
    number = int(done.stdout)
    assert [each.split()[0] for each in kept(small_disk / "s")] == [
        str(each) for each in range(number - 20, number + 1)
    ]


def test_syncs_that_keep_failing_are_not_taken_for_saves(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    script = """
    state.close()
    state = spellkeep.open(store, ring_bytes=65536, segment_bytes=65536, durability="sync")
    saves = AutoSave(state, agent, AutoSave.testing, attempts_max=3, backoff_s=0.001).start()
    agent.say("saved")
    saves.save()
    print(state.durable_version, flush=True)
    tracer = __import__("subprocess").Popen(
        [sys.argv[2], "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync,fsync:error=EIO", "-p", str(os.getpid())],
        stderr=-3,
    )
    while "TracerPid:\\t0" in open("/proc/self/status").read():
        time.sleep(0.01)
        assert tracer.poll() is None
    succeeded = saves.metrics.succeeded
    for number in range(1000):
        agent.say("unsaved")
        try:
            saves.save()
        except errors.StateError as error:
            break
    else:
        os._exit(3)
    metrics = saves.metrics
    # Nothing counts that is not durable.
    assert metrics.succeeded == succeeded + number, (metrics, number)
    assert metrics.last_saved_version <= state.durable_version
    codes = []
    for call in (saves.notify, saves.save, saves.stop):
        try:
            call()
        except errors.StateError as error:
            codes.append(error.code)
    print(number, *codes, flush=True)
    os._exit(0)
    """
    probe = [strace, "-qq", "-o", "/dev/null", "true"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here")
    done = lived(script, tmp_path / "s", strace)
    if "tracer.poll() is None" in done.stderr:
        pytest.skip("strace may not attach here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "0 store.poisoned store.poisoned store.poisoned"
