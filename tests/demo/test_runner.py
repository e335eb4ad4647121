"""The real processes: what they come to, and what becomes of them when one fails, hangs or is killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from bluetusk.demo import data, runner
from bluetusk.demo.runner import Event, Plan, run
from bluetusk.errors import ProtocolAbort

# A penalty as strong as this ends the training after some 15 rounds instead of 50.
SMALL = Plan(banks=5, rows=1500, key_size=2048, penalty=0.01)
THREE = dataclasses.replace(SMALL, banks=3)


class Processes:
    """The processes that a run starts, by role or bank."""

    def __init__(self) -> None:
        self.by_name: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(arguments, **options)
        self.by_name[["key holder", *(f"bank-{i:02d}" for i in range(1, 51))][len(self.by_name)]] = process
        return process

    def send(self, name: str, number: int) -> None:
        os.kill(self.by_name[name].pid, number)

    def all_gone(self) -> bool:
        return all(process.poll() is not None for process in self.by_name.values())


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Watch what the runner starts: the key holder, the banks in order, then the aggregator."""
    watched = Processes()

    class Module:
        DEVNULL = subprocess.DEVNULL
        TimeoutExpired = subprocess.TimeoutExpired
        Popen = staticmethod(watched.start)

    monkeypatch.setattr(runner, "subprocess", Module)
    return watched


def at(kind: str, act: Callable[[], None], round: int = 0) -> Callable[[Event], None]:
    """Return an observer that acts once, at the first event of a kind (and round)."""
    done = []

    def observe(event: Event) -> None:
        if event.kind == kind and event.fields.get("round", round) == round and not done:
            done.append(True)
            act()

    return observe


def test_a_crashed_and_a_hanging_bank_are_left_out_and_named(processes: Processes) -> None:
    from bluetusk.demo.evaluate import compare

    def act() -> None:
        processes.send("bank-02", signal.SIGKILL)
        processes.send("bank-04", signal.SIGSTOP)

    plan = dataclasses.replace(SMALL, patience=1.5)
    outcome = run(plan, at("step", act, round=2))
    assert outcome.banks == ["bank-01", "bank-03", "bank-05"]
    assert set(outcome.lost) == {"bank-02", "bank-04"}
    assert "signal 9" in outcome.lost["bank-02"]
    assert "silent for 1.5 s" in outcome.lost["bank-04"]
    assert len(outcome.starts) >= 2
    assert processes.all_gone()
    customers = data.load(rows=plan.rows, seed=plan.seed)
    comparison = compare(customers, data.deal(customers, banks=5, seed=plan.seed), outcome, plan.penalty)
    assert comparison.difference < 1e-3
    assert outcome.weight == sum(comparison.train[i] for i in (0, 2, 4))
    assert comparison.bins_equal  # all five were there when the bins were agreed upon


@pytest.mark.parametrize(("victim", "name"), [("key holder", "key holder"), ("bank-04", "aggregator")])
def test_without_key_holder_or_aggregator_nothing_is_left_running(processes: Processes, victim: str, name: str) -> None:
    with pytest.raises(ProtocolAbort, match=rf"the {name} was killed by signal 9; run `bluetusk selftest`") as caught:
        run(THREE, at("step", lambda: processes.send(victim, signal.SIGKILL)))
    assert caught.value.party == name
    assert processes.all_gone()


def test_too_few_banks_that_are_left_end_the_training(processes: Processes) -> None:
    with pytest.raises(ProtocolAbort, match="holds 2 clients, but at least 3 are needed") as caught:
        run(dataclasses.replace(THREE, drop=1))
    assert caught.value.round == 4
    assert processes.all_gone()


def test_silence_is_not_waited_for_for_ever(processes: Processes) -> None:
    start = time.monotonic()
    with pytest.raises(ProtocolAbort, match="no process has reported anything for 2 s"):
        run(
            dataclasses.replace(THREE, silence=2.0, patience=100.0),
            at("phase", lambda: processes.send("key holder", signal.SIGSTOP)),
        )
    assert time.monotonic() - start < 30
    assert processes.all_gone()
