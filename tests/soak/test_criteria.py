"""The criteria themselves: growth is planted in synthetic samples and must be reported; what is flat must not be."""

from __future__ import annotations

import random

import pytest

from soak.criteria import (
    FDS_MORE_MAX,
    GROWTH_BYTES_MAX,
    THREADS_MORE_MAX,
    Sample,
    complaints,
    descriptors,
    growth_bytes,
    memory,
    threads,
    warm,
)

MIB = 1 << 20
OPS = 10_000_000


def _series(
    grown_bytes: int = 0, *, count: int = 200, noise_bytes: int = MIB, rss_bytes: int = 60 * MIB
) -> list[Sample]:
    """Memory that rises for a fifth of the run, as an index does, then by `grown_bytes` until the end."""
    rng = random.Random(7)
    samples = []
    for number in range(count):
        share = number / (count - 1)
        rss = rss_bytes * min(1, 0.6 + 2 * share) + grown_bytes * share + rng.randint(-noise_bytes, noise_bytes)
        samples.append(Sample(round(OPS * share), round(rss), 10, 6))
    return samples


def test_memory_that_rises_while_it_warms_up_and_is_noisy_afterwards_is_flat() -> None:
    assert complaints(_series()) == []
    assert abs(growth_bytes(warm(_series()))) < MIB


@pytest.mark.parametrize("bytes_per_op", [2, 4, 64])
def test_a_leak_of_two_bytes_per_operation_is_reported(bytes_per_op: int) -> None:
    (complaint,) = memory(_series(bytes_per_op * OPS))
    assert complaint.startswith("memory grew by ")


def test_growth_just_above_and_just_below_what_is_flat_is_told_apart() -> None:
    # Three quarters of the run count, 9/8 and 15/16 of what is flat.
    assert memory(_series(GROWTH_BYTES_MAX * 3 // 2, noise_bytes=0))
    assert not memory(_series(GROWTH_BYTES_MAX * 5 // 4, noise_bytes=0))


def test_memory_that_is_given_back_or_one_sample_that_is_off_is_no_growth() -> None:
    samples = _series()
    samples[120] = Sample(samples[120].op_count, 600 * MIB, 10, 6)
    assert memory(samples) == []
    assert memory(_series(-30 * MIB)) == []


@pytest.mark.parametrize("leaked_bytes", [0, 2 * OPS])
def test_checkpoints_that_take_more_of_a_busy_machine_are_no_growth_and_hide_none(leaked_bytes: int) -> None:
    rng = random.Random(3)
    samples = _series(leaked_bytes)
    for number, sample in enumerate(samples):
        if rng.random() < 0.1 + 0.8 * number / len(samples):
            swing = rng.randint(10, 20) * MIB
            samples[number] = Sample(sample.op_count, sample.rss_bytes + swing, sample.fd_count, sample.thread_count)
    assert bool(memory(samples)) == (leaked_bytes > 0)


def test_memory_that_grows_in_steps_is_reported() -> None:
    steps = [Sample(n * 1_000, (60 + 8 * (n // 40)) * MIB, 10, 6) for n in range(200)]
    assert memory(steps)


def test_what_is_flat_grows_with_the_process() -> None:
    assert memory(_series(8 * MIB, rss_bytes=1_000 * MIB)) == []
    assert memory(_series(40 * MIB, rss_bytes=1_000 * MIB))


@pytest.mark.parametrize("more", [FDS_MORE_MAX, FDS_MORE_MAX + 1])
def test_a_descriptor_more_than_a_constant_is_reported(more: int) -> None:
    samples = [*_series(), Sample(OPS, 60 * MIB, 10 + more, 6), Sample(OPS + 1, 60 * MIB, 10, 6)]
    assert bool(descriptors(samples)) == (more > FDS_MORE_MAX)


@pytest.mark.parametrize("more", [THREADS_MORE_MAX, THREADS_MORE_MAX + 1])
def test_a_thread_more_than_a_constant_is_reported(more: int) -> None:
    samples = [*_series(), Sample(OPS, 60 * MIB, 10, 6 + more), Sample(OPS + 1, 60 * MIB, 10, 6)]
    assert bool(threads(samples)) == (more > THREADS_MORE_MAX)


def test_a_run_too_short_to_compare_has_no_slope() -> None:
    assert growth_bytes([Sample(0, MIB, 1, 1)]) == 0
    assert complaints([Sample(0, MIB, 1, 1), Sample(0, 2 * MIB, 1, 1)]) == []
