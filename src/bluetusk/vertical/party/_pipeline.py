"""The whole run of one party: align, split, bin, train two models, predict, report; each stage a task of kept steps."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError, ProtocolAbort
from ...evidence import Head, Log, Meter, Recorder, fingerprint
from ...paillier import keyfile
from ...wire import frame
from ...wire.frame import Kind, check_fields, decode, encode
from .._files import File
from .._job import Keeper, Progress, drive
from .._link import Link
from .._state import inputs_of
from ..align import intersect
from ..binning import WoEBinning
from ..boosting import GradientBoosting
from ..logistic import LogisticRegression
from ..profile import ColumnProfile
from ._config import Config

__all__ = ["Outcome", "Rows", "peer_name", "run", "write_scores"]


@dataclass
class Rows:
    """A party's own table.

    Attributes
    ----------
    ids : ndarray of object
        As texts.
    names : list of str
        Of the columns.
    values : list of ndarray
        float64 with NaN where missing; or objects: texts, and None where missing.
    labels : ndarray or None
        At the guest.
    profile : list of ColumnProfile
        What the columns hold.
    """

    ids: NDArray[Any]
    names: list[str]
    values: list[NDArray[Any]]
    labels: NDArray[np.int64] | None
    profile: list[ColumnProfile] = field(default_factory=list)

    @classmethod
    def read(cls, config: Config) -> Rows:
        """Read the file that a configuration names.

        Parameters
        ----------
        config : Config
            The party's.

        Returns
        -------
        Rows

        Raises
        ------
        ValueError
            If the file lacks a column, an id or a label, has another label than 0 and 1, or a column that is not what
            it is declared to be: the error names file, line, column and value.
        """
        data = config.data
        wanted = None
        if data.columns is not None:
            wanted = [data.id, *([data.label] if data.label else []), *data.columns]
        file = File(data.file, wanted, missing=data.missing)
        ids = file.ids(data.id)
        labels = file.labels(data.label) if data.label else None
        others = [name for name in file.raw if name not in (data.id, data.label)]
        names = list(data.columns) if data.columns is not None else others
        if len(set(names)) != len(names) or {data.id, data.label} & set(names):
            raise ValueError(f"data.columns must name each column once, and neither {data.id!r} nor the label")
        values, profile = file.columns(
            names,
            categorical=data.categorical,
            text=data.text,
            numeric=data.numeric,
            decimal=data.decimal,
            thousands=data.thousands,
        )
        return cls(ids, names, values, labels, profile)

    def matrix(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the columns of some rows side by side: float64, or objects if there are texts."""
        columns = [values[rows] for values in self.values]
        kind = np.float64 if all(c.dtype.kind == "f" for c in columns) else object
        return np.column_stack([c.astype(kind) for c in columns])

    def categorical(self, declared: Collection[str] = ()) -> list[str]:
        """Return the names of the columns of categories, among them those that were declared."""
        pairs = zip(self.names, self.values, strict=True)
        return [name for name, values in pairs if name in declared or values.dtype.kind == "O"]


@dataclass
class Outcome:
    """What a party knows at the end.

    Attributes
    ----------
    sizes : dict of str to int
        Rows in common, for training and for the test.
    stages : dict of str to dict
        Seconds and bytes of each stage, as far as this process ran them.
    ids : ndarray
        The common ids, in the common order.
    test : ndarray of bool
        Which of them are held back.
    labels : ndarray or None
        The guest's, in that order.
    scores : dict of str to ndarray
        Probabilities of each model on the rows held back (guest).
    binning : WoEBinning
    models : dict of str to estimator
        This party's halves.
    """

    sizes: dict[str, int]
    stages: dict[str, dict[str, float]]
    ids: NDArray[Any]
    test: NDArray[np.bool_]
    labels: NDArray[np.int64] | None
    scores: dict[str, NDArray[np.float64]]
    binning: WoEBinning
    models: dict[str, Any]
    rows: Rows = field(repr=False)
    order: NDArray[np.int64] = field(repr=False)


class _Once:
    """A job of one step: a few messages, and what this party has of it afterwards."""

    steps = 1

    def __init__(self, name: str, function: Callable[[Link], bytes]) -> None:
        self.name, self.inputs, self._function = name, b"", function  # `_agree` binds the steps of all tasks
        self.result: bytes | None = None

    def step(self, links: Sequence[Link], index: int) -> None:
        self.result = self._function(links[0])

    def state(self) -> bytes:
        return encode(Kind.VERTICAL_STATE, {"task": self.name, "done": self.result is not None}, self.result or b"")

    def restore(self, state: bytes) -> None:
        got = decode(state, Kind.VERTICAL_STATE)
        check_fields(got.header, ["done", "task"])
        frame.field(got.header, "task", str, choices=(self.name,))
        self.result = bytes(got.payload) if frame.field(got.header, "done", bool) else None


def _once(name: str, function: Callable[[Link], bytes], link: Link, keeper: Keeper, progress: Progress | None) -> bytes:
    job = _Once(name, function)
    drive(job, [link], keeper=keeper, progress=progress)
    return job.result or b""


class _Metered:
    """A keeper that keeps the meter's counts with each state, so that a resumed run counts nothing twice."""

    def __init__(self, keeper: Keeper, meter: Meter) -> None:
        self._keeper, self._meter = keeper, meter
        meter.restore(Meter().to_bytes())  # what an earlier run of the program has kept comes back task by task
        self._began: dict[str, bytes] = {}  # the counts with which a task began

    def resume(self, task: str) -> tuple[int, bytes | None]:
        index, kept = self._keeper.resume(task)
        began = self._began.setdefault(task, self._meter.to_bytes())
        if kept is None:
            self._meter.restore(began)
            return index, None
        got = decode(kept, Kind.VERTICAL_STATE)
        check_fields(got.header, ["meter"])
        size = frame.field(got.header, "meter", int, low=0, high=len(got.payload))
        self._meter.restore(bytes(got.payload[:size]))
        return index, bytes(got.payload[size:])

    def commit(self, task: str, index: int, state: bytes) -> None:
        meter = self._meter.to_bytes()  # it grows with the messages: too large for a header in the end
        self._keeper.commit(task, index, encode(Kind.VERTICAL_STATE, {"meter": len(meter)}, meter + bytes(state)))


def run(
    config: Config,
    rows: Rows,
    link: Link,
    keeper: Keeper,
    *,
    progress: Progress | None = None,
    recorder: Recorder | None = None,
    peer_key: bytes | None = None,
) -> Outcome:
    """Run one party's side of the whole job.

    Parameters
    ----------
    config : Config
        This party's.
    rows : Rows
        Its table.
    link, keeper
        Of :class:`~bluetusk.vertical.party.Party`.
    progress : callable, optional
        Called with the task, the steps taken and the steps there are.
    recorder : Recorder, optional
        Policy, meter and log; then heads of the logs are exchanged at the end.
    peer_key : bytes, optional
        The key that signs the peer's log.

    Returns
    -------
    Outcome
    """
    model, guest = config.model, config.role == "guest"
    stages: dict[str, dict[str, float]] = {}
    if recorder is not None:
        keeper = _Metered(keeper, recorder.meter)

    def stage(name: str, function: Callable[[], Any], hashes: Callable[[Any], dict[str, bytes]] | None = None) -> Any:
        start, before = time.perf_counter(), link.bytes_sent + link.bytes_received
        result = function()
        stages[name] = {
            "seconds": time.perf_counter() - start,
            "bytes": link.bytes_sent + link.bytes_received - before,
        }
        if recorder is not None:
            recorder.finish(name, hashes=hashes(result) if hashes else None)
        return result

    inputs = _inputs(config, rows)
    kept = stage("agree", lambda: _once("agree", lambda way: _agree(config, inputs, way), link, keeper, progress))
    if kept != inputs:
        raise ProtocolAbort(
            f"{config.data.file} or [model] is not what it was when the steps in {config.state} were taken: put it "
            f"back, or remove the state directories of both parties and take a new job name"
        )
    order: NDArray[np.int64] = stage(
        "intersect",
        lambda: intersect(
            rows.ids,
            role=config.role,
            link=link,
            min_intersection=model.min_intersection,
            keeper=keeper,
            progress=progress,
        ),
    )
    order = _ordered(order, rows.ids, model.seed)
    labels = rows.labels[order] if rows.labels is not None else None
    held = stage(
        "split", lambda: _once("split", lambda way: _split(config, labels, len(order), way), link, keeper, progress)
    )
    test = np.frombuffer(held, "|b1").copy()
    train = ~test
    names = rows.names

    binning = WoEBinning(
        config.role,
        max_bins=model.max_bins,
        min_rows=model.min_rows,
        categorical=rows.categorical(config.data.categorical),
        key_size=model.key_size,
    )
    table = rows.matrix(order)
    y = labels[train] if labels is not None else None
    stage(
        "binning",
        lambda: binning.fit(table[train], y, columns=names, link=link, keeper=keeper, progress=progress),
        lambda fitted: {"half": _digest(fitted.table())},
    )
    kept = binning.select(model.min_iv)
    woe = binning.transform(table, columns=names)[:, [names.index(name) for name in kept]]

    logistic = LogisticRegression(
        config.role,
        epochs=max(1, model.epochs),
        batch_size=model.batch_size,
        learning_rate=model.learning_rate,
        l2=model.l2,
        sigmoid=model.sigmoid,
        seed=hashlib.sha256(f"bluetusk batches {model.seed}".encode()).digest() if guest else None,
        key_size=model.key_size,
    )
    boosting = GradientBoosting(
        role=config.role,
        n_estimators=max(1, model.trees),
        max_depth=model.depth,
        learning_rate=model.tree_rate,
        max_bins=model.tree_bins,
        min_bucket_rows=model.min_bucket_rows,
        random_state=model.seed,
        key_size=model.key_size,
        categorical=rows.categorical(config.data.categorical),
    )
    models: dict[str, Any] = {}
    scores: dict[str, NDArray[np.float64]] = {}
    plan: tuple[tuple[str, int, Any, NDArray[Any], list[str]], ...] = (
        ("logistic_regression", model.epochs, logistic, woe, kept),
        ("gradient_boosting", model.trees, boosting, table, names),
    )
    for name, wanted, estimator, x, chosen in plan:
        if not wanted:
            continue
        fit = functools.partial(estimator.fit, x[train], y, columns=chosen, link=link, keeper=keeper, progress=progress)
        models[name] = stage(name, fit)
        # of the rows held back only: scores of training rows would be equations for the host's columns
        found = stage(f"{name}_scores", functools.partial(estimator.predict_proba, x[test], link=link, keeper=keeper))
        if found is not None:
            scores[name] = found[:, 1]
    if recorder is not None:
        stage("heads", lambda: _once("heads", lambda way: _heads(recorder.log, way, peer_key), link, keeper, progress))
    sizes = {"intersection": len(order), "train": int(train.sum()), "test": int(test.sum())}
    return Outcome(sizes, stages, rows.ids[order], test, labels, scores, binning, models, rows, order)


def _inputs(config: Config, rows: Rows) -> bytes:
    """Return a hash of all that this party brings: kept steps are worth nothing with other rows."""
    labels = [] if rows.labels is None else [rows.labels]
    return inputs_of(config.model.stated(), rows.names, rows.ids, *rows.values, *labels)


def _agree(config: Config, inputs: bytes, link: Link) -> bytes:
    """Compare what is to be trained; JR/T 0196-2020 has all parties keep the task's configuration."""
    mine = config.model.stated()
    link.send("settings", {"settings": mine})
    theirs = frame.field(link.receive("settings", ["settings"], parts=0).fields, "settings", dict)
    differ = [name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name)]
    if differ:
        raise ProtocolAbort(
            f"the two configurations differ in {', '.join(sorted(map(str, differ)))[:200]} of [model]: agree on one",
            party=None,
        )
    return inputs


def _ordered(order: NDArray[np.int64], ids: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Return the common rows in an order that follows from their ids and the seed alone.

    The order of the intersection is drawn anew in every run, and again if a crash cuts it short; the split and the
    batches follow the order, so without this no run could be compared with another.
    """
    keys = [hashlib.sha256(f"bluetusk order {seed} {ids[k]}".encode()).digest() for k in order.tolist()]
    return order[sorted(range(len(keys)), key=keys.__getitem__)]


def _split(config: Config, labels: NDArray[np.int64] | None, n: int, link: Link) -> bytes:
    """Hold rows back for the test: the guest draws them, in the same share of both labels, and says which."""
    if labels is not None:
        from sklearn.model_selection import train_test_split

        _, held = train_test_split(
            np.arange(n), test_size=config.model.test_share, stratify=labels, random_state=config.model.seed
        )
        test = np.zeros(n, "|b1")
        test[held] = True
        link.send("split", {}, [np.packbits(test).tobytes()])
        return test.tobytes()
    (part,) = link.receive("split", parts=1).parts
    if len(part) != -(-n // 8):
        raise FrameError(f"the split is for another number of rows than {n}")
    test = np.unpackbits(np.frombuffer(part, np.uint8), count=n).astype("|b1")
    if test.sum() != math.ceil(config.model.test_share * n) or test.all():
        raise FrameError("the split holds back another share of the rows than was agreed")
    return test.tobytes()


def _heads(log: Log, link: Link, peer_key: bytes | None) -> bytes:
    """Show each other the signed heads of the logs, with proofs that they extend the last ones shown."""
    if peer_key is None:
        raise ProtocolAbort("evidence needs the peer's key: set evidence.peer_key")
    peer = peer_name(link.peer, peer_key)
    held = log.peer_head(peer)
    link.send("held", {}, [] if held is None else [held.to_bytes()])
    shown = [Head.from_bytes(part) for part in link.receive("held").parts[:1]]
    for head in shown:
        log.confirm(head)  # or this party's own log was rolled back
    since = shown[0].size if shown else 0
    link.send("head", {}, [log.offer(since)])
    (data,) = link.receive("head", parts=1).parts
    return log.accept(data, party=peer, key=peer_key).to_bytes()


def peer_name(role: str, key: bytes) -> str:
    """Return the name under which a log keeps a peer's heads: one log serves partners of the same role."""
    return f"{role} {fingerprint(key)[:16]}"


def _digest(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=float).encode()).digest()


def write_scores(path: Path, outcome: Outcome) -> None:
    """Write the guest's scores: a line for each row in common, with scores where it was held back."""
    names = list(outcome.scores)
    with io.StringIO(newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "part", "label", *names])
        labels = np.zeros(0, np.int64) if outcome.labels is None else outcome.labels
        places = np.cumsum(outcome.test) - 1
        for k, id, test, label in zip(places.tolist(), outcome.ids, outcome.test, labels, strict=True):
            values = [f"{outcome.scores[name][k]:.6f}" if test else "" for name in names]
            writer.writerow([id, "test" if test else "train", int(label), *values])
        keyfile.write(path, file.getvalue().encode(), overwrite=True)
