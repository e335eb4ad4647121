"""The one place that splits batches: coverage of the range, errors, progress, threads, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetusk import _parallel


@given(
    n=st.integers(0, 3000),
    cost=st.floats(0.0, 1e5),
    align=st.sampled_from([1, 2, 4, 8]),
    threads=st.integers(1, 5),
)
def test_slices_cover_the_range_once(n, cost, align, threads):
    seen, lock = [], threading.Lock()

    def work(lo, hi):
        with lock:
            seen.append((lo, hi))

    _parallel.run(n, work, cost_us=cost, align=align, threads=threads)
    seen.sort()
    assert [i for lo, hi in seen for i in range(lo, hi)] == list(range(n))
    assert all(lo % align == 0 and lo < hi for lo, hi in seen)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_progress_ends_at_the_total(threads):
    calls = []
    _parallel.run(
        100, lambda lo, hi: None, cost_us=5000, threads=threads, progress=lambda done, n: calls.append((done, n))
    )
    assert calls[-1] == (100, 100)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_stops_the_batch(threads):
    started = []

    def work(lo, hi):
        started.append(lo)
        if lo >= 30:
            raise RuntimeError(f"slice {lo}")
        time.sleep(0.001)

    with pytest.raises(RuntimeError, match="slice"):
        _parallel.run(100_000, work, cost_us=5000, threads=threads)
    assert len(started) < 50


def test_threads_run_at_the_same_time():
    barrier = threading.Barrier(3, timeout=10)
    _parallel.run(3, lambda lo, hi: barrier.wait() and None, cost_us=1e6, threads=3)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1025, ValueError), (True, TypeError), (2.0, TypeError)]
)
def test_the_number_of_threads_is_checked(value, error):
    with pytest.raises(error, match="threads"):
        _parallel.run(1, lambda lo, hi: None, cost_us=1, threads=value)
    with pytest.raises(error, match="n must be"):
        _parallel.set_num_threads(value)


@pytest.mark.parametrize(("text", "expected"), [("3", "3"), ("0", "ValueError"), ("two", "ValueError"), ("", "cpus")])
def test_the_environment_sets_the_default(text, expected):
    code = (
        "from bluetusk import _parallel\n"
        "try:\n    print(_parallel.get_num_threads())\n"
        "except ValueError as error:\n    assert 'BLUETUSK_NUM_THREADS' in str(error)\n    print('ValueError')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "BLUETUSK_NUM_THREADS": text},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (str(len(os.sched_getaffinity(0))) if expected == "cpus" else expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_is_answered_within_250_ms(pub, threads):
    """A long encryption in the main thread, interrupted from outside; the time to the exception, best of five."""
    delays = []
    for _ in range(5):
        sent = []

        def interrupt(sent=sent):
            time.sleep(0.15)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        sender = threading.Thread(target=interrupt)
        sender.start()
        with pytest.raises(KeyboardInterrupt):
            pub.encrypt(range(200_000), threads=threads)
        delays.append(time.perf_counter() - sent[0])
        sender.join()
    assert min(delays) < 0.25
    assert pub.encrypt([1], threads=threads).shape == (1,)
