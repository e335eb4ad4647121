"""Starts the demo's processes, follows their progress, and waits for the end of each.

The parent makes the sockets, hands each process its ends, and keeps only the sockets on which the roles report: what
the banks, the aggregator and the key holder send to each other does not pass through it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .._closing import Closing
from ..errors import FrameError, ProtocolAbort
from ..wire.frame import Frame
from .binning import Bins
from .channel import Channel, Usage, read_note
from .data import uniforms
from .private import calibrate
from .roles import Job, bank_name
from .worker import PEER_GONE

__all__ = ["METHODS", "Event", "Outcome", "Plan", "run"]

METHODS = ("paillier", "secagg", "secagg+dp")
"""How the banks' values are summed."""

_VANISH_ROUND = 4
_START = (  # as multiprocessing's "spawn" does: the child looks for modules where the parent found them
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from bluetusk.demo.worker import main; "
    "sys.exit(main(sys.argv[2]))"
)
_LAST_WORDS = 2000  # bytes of a crashed process's standard error that are read


@dataclass(frozen=True)
class Plan:
    """The run's parameters.

    Attributes
    ----------
    banks : int
        Number of banks.
    drop : int
        How many of them vanish in the middle of a round.
    seed : int
        Determines the bank of each customer, and which banks vanish.
    key_size : int
        Bits of the Paillier modulus.
    threads : int or None
        Threads of every process. None: one for each bank, since they work at the same time; all for the others.
    penalty : float
        scikit-learn's C.
    data : str or None
        The customers' file; None for the one in the package.
    rows : int or None
        How many customers to take; None for all.
    patience : float
        Seconds that the aggregator waits for the banks in one round.
    silence : float
        Seconds without a message from any process after which the run is aborted.
    method : str
        How the banks' values are summed: "paillier", "secagg" or "secagg+dp".
    epsilon : float
        Privacy budget of "secagg+dp" for each customer, at a delta of 10^-6.

    Examples
    --------
    >>> Plan(banks=3).key_size
    3072
    """

    banks: int = 10
    drop: int = 0
    seed: int = 0
    key_size: int = 3072
    threads: int | None = None
    penalty: float = 1.0
    data: str | None = None
    rows: int | None = None
    patience: float = 60.0
    silence: float = 120.0
    method: str = "paillier"
    epsilon: float = 1.0


@dataclass(frozen=True)
class Event:
    """A sign of progress of the processes.

    Attributes
    ----------
    kind : str
        "key", "phase", "bins", "step", "lost" or "refused".
    fields : dict
        The note's fields: ``words`` and ``bits``; ``name``; ``size``; ``round``, ``clients`` and ``gap`` (with noise
        also ``of``, the number of rounds); ``name`` and ``why``.
    """

    kind: str
    fields: dict[str, Any]


@dataclass
class Outcome:
    """The result of a run.

    Attributes
    ----------
    model : ndarray of float64, shape (d + 1,)
        The federated coefficients and intercept.
    bins : Bins
        The agreed bins.
    banks : list of str
        The banks whose customers the model is fitted to.
    lost : dict of str to str
        Banks that vanished, with the reason.
    rounds : int
        Number of sums that were opened in the training.
    starts : list of int
        The rounds in which the optimiser restarted.
    weight : int
        Rows in the model; 0 with noise, where no party knows the number.
    fingerprint : str
        The Paillier key's, as words.
    noise : float
        Standard deviation of the noise in a sum, divided by the sensitivity; 0 for none.
    usage : dict
        ``usage[role][phase]``, the resources that each process used; banks by name. Lost banks are missing.
    seconds : dict of str to float
        Wall-clock time of each phase.
    """

    model: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    bins: Bins = field(default_factory=lambda: Bins(np.zeros(0, dtype=np.int64)))
    banks: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    starts: list[int] = field(default_factory=list)
    weight: int = 0
    fingerprint: str = ""
    noise: float = 0.0
    usage: dict[str, dict[str, Usage]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class _Child:
    """One process, as seen by its parent."""

    name: str
    process: subprocess.Popen[bytes]
    report: Channel
    errors: IO[bytes]
    done: bool = False  # its role has ended
    gone: bool = False  # its reports have ended

    def last_words(self) -> str:
        """Return the last line that the process wrote to standard error."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _LAST_WORDS))
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        code = self.process.poll()
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit status {code}"
        return f"{how}: {lines[-1].strip()}" if lines else how


class _Children(Closing):
    """All processes; leaving the context ends those that still run."""

    def __init__(self, plan: Plan, folder: str) -> None:
        self.all: list[_Child] = []
        self._plan = plan
        self._folder = folder

    def close(self) -> None:
        """End all processes."""
        for child in self.all:
            child.process.kill()
        for child in self.all:
            child.process.wait()
            child.report.close()
            child.errors.close()

    def start(self, name: str, job: Job, links: list[socket.socket]) -> None:
        """Start one process and pass it its ends of the sockets."""
        ours, theirs = socket.socketpair()
        with theirs:
            numbers = [theirs.fileno(), *(link.fileno() for link in links)]
            told = json.dumps({**asdict(job), "report": numbers[0], "links": numbers[1:]})
            threads = self._plan.threads or (1 if job.role == "bank" else None)
            errors = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed in close())
            process = subprocess.Popen(  # noqa: S603 (this interpreter, this package)
                [sys.executable, "-c", _START, json.dumps(sys.path), told],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=numbers,
                env=_environment(threads),
            )
        self.all.append(_Child(name, process, Channel(ours), errors))


def _environment(threads: int | None) -> dict[str, str]:
    """Return the environment of a child: its number of threads, and no other thread pool."""
    env = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = "1"
    if threads is not None:
        env["BLUETUSK_NUM_THREADS"] = str(threads)
    return env


def _start_all(children: _Children, plan: Plan, folder: str, noise: float) -> None:
    """Start the roles: banks are linked to the aggregator only, the aggregator to the key holder if there is one."""
    planned = {f.name: getattr(plan, f.name) for f in fields(Job) if hasattr(plan, f.name)}
    job = Job(role="bank", index=0, vanish=-1, state=folder, noise=noise, **planned)
    vanishing = set(np.argsort(uniforms(plan.seed, "vanish", plan.banks))[: plan.drop].tolist())
    with contextlib.ExitStack() as ends:

        def pair() -> tuple[socket.socket, socket.socket]:
            here, there = socket.socketpair()
            return ends.enter_context(here), ends.enter_context(there)

        hub = []
        if plan.method == "paillier":
            above, below = pair()
            hub.append(below)
            children.start("key holder", replace(job, role="key holder"), [above])
        for index in range(plan.banks):
            at_hub, at_bank = pair()
            hub.append(at_hub)
            vanish = _VANISH_ROUND if index in vanishing else -1
            children.start(bank_name(index), replace(job, index=index, vanish=vanish), [at_bank])
        children.start("aggregator", replace(job, role="aggregator"), hub)


def _notes(children: _Children, lost: Collection[str], silence: float) -> Iterator[tuple[_Child, Frame | None]]:
    """Yield (child, frame) for every note, and (child, None) when a child is gone; do not wait for lost banks."""
    with selectors.DefaultSelector() as selector:
        for child in children.all:
            selector.register(child.report, selectors.EVENT_READ, child)
        heard = time.monotonic()
        while not all(child.gone or child.name in lost for child in children.all):
            ready = selector.select(max(0.0, heard + silence - time.monotonic()))
            if not ready:
                raise ProtocolAbort(
                    f"no process has reported anything for {silence:g} s; try again on a less busy machine, with fewer "
                    f"banks or a smaller key"
                )
            for key, _ in ready:
                speaker: _Child = key.data
                try:
                    frame = read_note(speaker.report.receive(silence))
                except (EOFError, TimeoutError, FrameError):
                    selector.unregister(speaker.report)
                    speaker.gone = True
                    yield speaker, None
                else:
                    heard = time.monotonic()
                    yield speaker, frame


def run(plan: Plan, show: Callable[[Event], None] = lambda event: None) -> Outcome:
    """Run the demo's processes to the end of the training.

    Parameters
    ----------
    plan : Plan
        The run's parameters.
    show : callable, optional
        Called with each :class:`Event`.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        If the plan's method is unknown.
    ModuleNotFoundError
        If it is "secagg+dp" and ``dp_accounting`` is missing.
    ProtocolAbort
        If too few banks are left, or a role fails. All processes have ended by then.

    Examples
    --------
    >>> outcome = run(Plan(banks=3, rows=600, key_size=2048, penalty=0.01))
    >>> outcome.banks, outcome.weight, outcome.model.shape == (outcome.bins.size + 1,)
    (['bank-01', 'bank-02', 'bank-03'], 419, True)
    """
    if plan.method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {plan.method!r}")
    outcome = Outcome(noise=calibrate(plan.epsilon) if plan.method == "secagg+dp" else 0.0)
    begun = time.monotonic()
    phase = "start"

    def turn(to: str) -> None:
        nonlocal phase, begun
        now = time.monotonic()
        outcome.seconds[phase] = outcome.seconds.get(phase, 0.0) + now - begun
        phase, begun = to, now

    with tempfile.TemporaryDirectory(prefix="bluetusk-demo-") as folder, _Children(plan, folder) as children:
        _start_all(children, plan, folder, outcome.noise)
        for child, frame in _notes(children, outcome.lost, plan.silence):
            if frame is None:
                if not child.done:
                    _ended(child, children, outcome)
                continue
            header = frame.header
            topic = header.pop("topic")
            if topic == "abort":
                raise ProtocolAbort(header["reason"], round=header.get("round"), party=header.get("party"))
            if topic == "done":
                child.done = True
                outcome.usage[child.name] = {
                    name: Usage(micros / 1e6, sent, received)
                    for name, (micros, sent, received) in header["phases"].items()
                }
                continue
            if topic == "model":
                turn("end")
                outcome.model = np.frombuffer(frame.payload, dtype="<f8").astype(np.float64)
                outcome.rounds, outcome.starts = header["rounds"], header["starts"]
                outcome.banks, outcome.weight = header["clients"], header["weight"]
                continue
            if topic == "key":
                outcome.fingerprint = header["words"]
            elif topic == "phase":
                turn(header["name"])
            elif topic == "bins":
                outcome.bins = Bins.from_bytes(frame.payload)
            elif topic == "step":
                header["gap"] = float(np.frombuffer(frame.payload, dtype="<f8")[0])
            elif topic == "lost":
                outcome.lost.setdefault(header["name"], header["why"])
            show(Event(topic, header))
    turn("")
    if not outcome.banks:
        raise ProtocolAbort("the roles ended without a model; run `bluetusk selftest`")
    return outcome


def _ended(child: _Child, children: _Children, outcome: Outcome) -> None:
    """Record a lost bank, or raise, when a process ended before its role did."""
    try:
        code = child.process.wait(5.0)
    except subprocess.TimeoutExpired:
        child.process.kill()
        code = child.process.wait()
    if code == PEER_GONE:
        return  # another process is the cause
    if child.name not in ("key holder", "aggregator"):
        why = "vanished in the middle of a round" if code == 0 else child.last_words()
        outcome.lost[child.name] = why
        return
    raise ProtocolAbort(f"the {child.name} {child.last_words()}; run `bluetusk selftest`", party=child.name)
