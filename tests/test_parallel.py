"""The one place that splits batches: coverage of the range, errors, progress, threads, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
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


def threads_of(count, slices=None):
    """The threads that take part in a batch: each takes one slice and waits for the others."""
    seen, barrier = set(), threading.Barrier(count, timeout=10)

    def work(lo, hi):
        seen.add(threading.current_thread())
        barrier.wait()

    _parallel.run(slices or count, work, cost_us=1e6, threads=count)
    return seen


def test_threads_run_at_the_same_time():
    assert len(threads_of(3)) == 3


def test_the_calling_thread_works_and_its_helpers_stay():
    first, second = threads_of(3), threads_of(3, slices=9)
    assert threading.current_thread() in first
    assert first == second


def test_fewer_helpers_stay_after_a_batch_that_asks_for_fewer():
    many = threads_of(4) - {threading.current_thread()}
    threads_of(2)
    deadline = time.monotonic() + 10
    while sum(thread.is_alive() for thread in many) > 2 and time.monotonic() < deadline:
        threads_of(2)  # sooner or later by one of those too many, which ends then
    assert sum(thread.is_alive() for thread in many) <= 2


def test_a_short_batch_wakes_no_helper():
    seen = set()
    _parallel.run(400, lambda lo, hi: seen.add(threading.current_thread()), cost_us=1, threads=4)
    assert seen == {threading.current_thread()}


def test_batches_inside_batches_and_beside_each_other():
    totals = [[0] * 40 for _ in range(4)]

    def outer(k):
        def work(lo, hi):
            for i in range(lo, hi):
                _parallel.run(8, inner(k, i), cost_us=1e5, threads=3)

        return work

    def inner(k, i):
        lock = threading.Lock()

        def work(lo, hi):
            with lock:
                totals[k][i] += hi - lo

        return work

    callers = [
        threading.Thread(target=_parallel.run, args=(40, outer(k)), kwargs={"cost_us": 1e4, "threads": 2})
        for k in range(len(totals))
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert totals == [[8] * 40] * 4


def test_without_threads_the_caller_does_the_work(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_parallel, "_helpers", _parallel._Helpers())
    monkeypatch.setattr(threading.Thread, "start", start)
    seen = []
    _parallel.run(100, lambda lo, hi: seen.extend(range(lo, hi)), cost_us=5000, threads=3)
    assert seen == list(range(100))


def test_the_error_of_a_helper_is_raised_by_the_caller():
    barrier = threading.Barrier(2, timeout=10)

    def work(lo, hi):
        barrier.wait()
        if threading.current_thread() is not caller:
            raise KeyError("of the helper")

    caller = threading.current_thread()
    with pytest.raises(KeyError, match="of the helper"):
        _parallel.run(2, work, cost_us=1e6, threads=2)


FORK = """
import os, sys, threading, warnings
warnings.simplefilter("error")  # Python 3.12 warns where a process with threads forks
from bluetusk import _parallel

def batch():
    barrier = threading.Barrier(3, timeout=10)
    _parallel.run(3, lambda lo, hi: barrier.wait(), cost_us=1e6, threads=3)

batch()
helpers = [t for t in threading.enumerate() if t.name == "bluetusk"]
assert len(helpers) == 2
pid = os.fork()
assert not any(t.is_alive() for t in helpers)
batch()
if pid == 0:
    batch()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print("ended")
"""


def test_a_fork_finds_no_helpers_and_both_sides_go_on():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("ended\n", "", 0)


ENDING = """
import os
from bluetusk import _parallel

class Late:  # in a cycle that is collected when the interpreter has begun to end
    def __init__(self):
        self.me = self

    def __del__(self, run=_parallel.run, write=os.write):
        done = []
        run(400, lambda lo, hi: done.append(hi - lo), cost_us=1e3, threads=3)
        write(1, b"%d" % sum(done))

late = Late()
"""


def test_a_batch_at_the_end_of_the_interpreter_is_done_by_its_caller():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=10, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("400", "", 0)


@given(
    costs=st.lists(st.one_of(st.floats(0, 1e5), st.just(400.0)), max_size=60),
    count=st.integers(1, 4),
    falling=st.booleans(),
)
def test_slices_by_cost_cover_the_range_and_are_no_longer_than_they_may(costs, count, falling):
    slices = list(_parallel.slices_by_cost(np.array(costs), count, falling=falling))
    assert [i for lo, hi in slices for i in range(lo, hi)] == list(range(len(costs)))
    for lo, hi in slices:
        assert hi == lo + 1 or sum(costs[lo:hi]) <= 1.5 * 50_000 + 1e-6 + max(costs[lo:hi])
    if not falling and len(costs) >= count and sum(costs) > 500:
        assert len(slices) >= min(count, len(costs)) or max(costs) > sum(costs) / (2 * count)


def test_slices_fall_towards_the_end_by_cost_and_by_number():
    costs = np.full(1000, 400.0)
    sizes = [hi - lo for lo, hi in _parallel.slices_by_cost(costs, 2, falling=True)]
    assert sizes[0] * 400 == 50_000
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    seen, lock = [], threading.Lock()

    def work(lo, hi):
        with lock:
            seen.append((lo, hi))

    _parallel.run(1000, work, cost_us=400, threads=2)
    sizes = [hi - lo for lo, hi in sorted(seen)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 125
    assert sizes[-1] <= 2


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
