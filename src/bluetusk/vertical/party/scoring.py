"""Scores the rows of a file with the halves that ``bluetusk party`` has kept: one party's side, from files to scores.

Both sides compare their models, find the rows in common, and score them once with each model, in pieces: in memory are
the ids, the columns of one piece and, at the host, the book of what each model has scored. The columns are read once,
in the order of the file, as codes into a file without a name on this party's disk, since pieces follow the common
order.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _toml
from ...errors import BluetuskError, DataWarning, ProtocolAbort
from ...evidence import Recorder, fingerprint
from ...evidence.book import rows_digest
from ...evidence.notary import Notary
from ...evidence.summary import learned
from ...storage import files
from ...tasks import AGREE, BOOSTING_SCORES, INTERSECT, LOGISTIC, LOGISTIC_SCORES, MODELS, Task
from ...wire import frame
from ..align.estimator import intersect
from ..align.ids import as_ids
from ..binning.estimator import WoEBinning
from ..boosting.estimator import GradientBoosting
from ..logistic.estimator import LogisticRegression
from ..protocol.job import PIECE, Keeper, Progress
from ..protocol.link import Link
from ..protocol.state import inputs_of
from ..tables.codes import coded
from ..tables.columns import Table
from ..tables.files import File
from ..tables.unseen import warn_of_unseen
from .checks import check_room
from .config import Config, made_from
from .opening import PASSPHRASE, Opened, begun, identity_of, opened
from .pipeline import Metered, confirm, exchange_heads, once

__all__ = ["ABSENT", "Scoring", "run_scoring"]

ABSENT = "not at the other party"
"""Why a row of the guest has no score."""
_SALT = 32
_HASH = 32
_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True)
class _Section:
    """The section [score] of a configuration file."""

    job: str | None = None
    data: str | None = None
    output: str | None = None
    state: str | None = None
    models: str | None = None
    model: tuple[str, ...] = ()
    min_intersection: int | None = None


@dataclass(frozen=True)
class Scoring:
    """What one party scores, and how.

    Attributes
    ----------
    config : Config
        That of the training, with the job and the state directory of the scoring.
    data : str
        The file of rows to score, of the form that ``[data]`` declares.
    output : str or None
        The guest's file for the scores.
    models : str
        The folder with this party's halves.
    model : tuple of str
        The models to score with; by default all in that folder.
    min_intersection : int
        Fewest rows in common; 0 accepts none.
    """

    config: Config
    data: str
    output: str | None
    models: str
    model: tuple[str, ...]
    min_intersection: int

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, role: str | None = None, **flags: Any) -> Scoring:
        """Read the configuration of a training with its section [score], which flags override.

        Parameters
        ----------
        path : path-like
            The file; its relative paths start from its folder.
        role : str, optional
            Overrides the file's role.
        **flags
            The settings of [score], None where they are not given; relative paths start from the current directory.

        Returns
        -------
        Scoring

        Raises
        ------
        ValueError
            If a setting is missing, unknown, of a wrong type or out of range; the error names file and setting.
        OSError
            If the file cannot be read.
        """
        config = Config.load(path, role=role)
        where, folder = os.fspath(path), Path(path).parent
        try:
            said = made_from(_Section, _toml.load(path).get("score", {}), "score.")
        except ValueError as err:
            raise ValueError(f"{where}: {err}") from None

        def of(name: str) -> Any:
            flag, value = flags.get(name), getattr(said, name)
            if flag is None and value is not None and name in ("data", "output", "state", "models"):
                return str(folder / value)
            return value if flag is None else flag

        job, data, guest = of("job"), of("data"), config.role == "guest"
        if job is None:
            raise ValueError(
                f"{where}: the scoring needs a name, new for every job and the same at both parties: give --job, or "
                "job in [score]"
            )
        if not 1 <= len(job) <= 100 or not _is_unicode(job):
            raise ValueError(f"job must be a text of 1 to 100 characters of Unicode, not {job!r:.120}")
        if job == config.job:
            raise ValueError(f"{where}: the job {job!r} is that of the training: give the scoring another --job")
        if data is None:
            raise ValueError(f"{where}: name the file of rows to score: give --data, or data in [score]")
        if guest and of("output") is None:
            raise ValueError(f"{where}: name a new file for the scores: give --output, or output in [score]")
        if not guest and of("output") is not None:
            raise ValueError("output is for the guest, who alone gets scores: leave it out at a host")
        for name in (model := tuple(of("model"))):
            if name not in _NAMES:
                raise ValueError(f"model names {name!r}: it may name {' and '.join(_NAMES)}")
        least = of("min_intersection")
        least = config.model.min_intersection if least is None else least
        if least < 0:
            raise ValueError(f"min_intersection must be at least 0, not {least}")
        state = of("state") or f"{config.state}-{_file_name(job)}"
        placed = replace(config, job=job, state=state)
        return cls(placed, data, of("output"), of("models") or config.output, model, least)


_NAMES = tuple(training.name for training, _ in MODELS)


def _file_name(job: str) -> str:
    """Return a name of a file that stands for a job."""
    if set(job) <= _SAFE and not job.startswith("."):
        return job
    return hashlib.sha256(job.encode(errors="surrogatepass")).hexdigest()[:16]


def _is_unicode(text: str) -> bool:
    """Return whether a text can be sent: an argument that is not UTF-8 has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Codes:
    """The columns of a file as a model takes them: on disk, read by pieces in the common order."""

    def __init__(self, folder: str, width: int, dtype: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # without a name: gone with the process
        self._width, self._dtype, self._hash = width, np.dtype(dtype), hashlib.sha256()
        self.order = np.zeros(0, np.int64)
        self._folder = folder

    def add(self, matrix: NDArray[Any]) -> None:
        """Add rows."""
        data = matrix.astype(self._dtype).tobytes()
        self._hash.update(data)
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as err:
            why = "the disk is full: free space" if files.is_full(err) else f"{err.strerror or err}: fix it"
            raise ProtocolAbort(f"cannot keep the rows to score in {self._folder}: {why} and start again") from err

    @property
    def digest(self) -> bytes:
        """A hash of all rows, in the order of the file."""
        return self._hash.digest()

    def __len__(self) -> int:
        """Return the number of rows in common."""
        return len(self.order)

    def __getitem__(self, piece: slice) -> NDArray[Any]:
        """Return rows, in the common order."""
        size, rows = self._width * self._dtype.itemsize, self.order[piece].tolist()
        out = np.empty((len(rows), self._width), self._dtype)
        for k, row in enumerate(rows):
            out[k] = np.frombuffer(os.pread(self._file.fileno(), size, row * size), self._dtype)
        return out

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


@dataclass
class _Part:
    """One model: this party's half, and its columns."""

    training: Task
    scoring: Task
    half: Any
    binning: WoEBinning
    path: Path
    codes: _Codes | None = None
    unseen: dict[str, tuple[Counter[str], int, bool]] = field(default_factory=dict)

    @property
    def logistic(self) -> bool:
        return self.training is LOGISTIC

    @property
    def name(self) -> bytes:
        """What both halves of a training call it."""
        return bytes(self.half.model_)

    @property
    def columns(self) -> list[str]:
        return list(self.half.columns_)

    def kinds(self) -> dict[str, str]:
        """Return the kind of each column at training."""
        if self.logistic:
            return {bins.name: bins.kind for bins in self.binning.bins_ if bins.name in self.columns}
        known = {each.name: each.kind for each in self.half.profile_}
        return {
            name: known.get(name, "categorical" if name in self.half.categories_ else "numeric")
            for name in self.columns
        }

    def take(self, values: Mapping[str, NDArray[Any]], rows: int) -> None:
        """Code the columns of a piece of the file, and count what training has not seen."""
        assert self.codes is not None
        if not self.logistic:
            table = Table(self.columns, [values[name] for name in self.columns], [], rows)
            self.codes.add(coded(table, self.half.categories_, self.unseen))
            return
        fitted = {bins.name: bins for bins in self.binning.bins_}
        host = self.half.role == "host"
        made = []
        for name in self.columns:
            bins = fitted[name]
            made.append(bins.codes(values[name]) if host else bins.transform(values[name]))
            texts, absent = bins.unseen(values[name])
            before = self.unseen.get(name, (Counter(), 0, False))
            self.unseen[name] = (before[0] + texts, before[1] + absent, bins.other >= 0)
        self.codes.add(np.column_stack(made))

    def warn(self, rows: int) -> None:
        """Warn of what training has not seen, counted over the file."""
        as_rare, as_none = ("the rare ones", "0") if self.logistic else ("", "missing")
        warn_of_unseen(self.unseen, rows, as_rare, as_none, stacklevel=6)

    def keep(self) -> None:
        """Write a host's half again, which then knows the rows of its book: an older copy of the book is refused."""
        passphrase = os.environ.get(PASSPHRASE) or None
        more = {"sealed": passphrase is not None} if self.logistic else {}
        self.half.save(self.path, passphrase, **more)

    def score(
        self, ids: Sequence[str], link: Link, keeper: Keeper, progress: Progress | None
    ) -> NDArray[np.float64] | None:
        """Score all rows in common."""
        assert self.codes is not None
        digest = inputs_of(self.codes.digest, self.codes.order)
        found: NDArray[np.float64] | None = self.half.score_pieces(
            self.codes, link=link, ids=ids, keeper=keeper, progress=progress, inputs=digest
        )
        return found


def run_scoring(
    scoring: Scoring,
    *,
    progress: Progress | None = None,
    listening: Callable[[str], None] | None = None,
    watch: Callable[[Opened], object] | None = None,
) -> dict[str, Any]:
    """Score the rows of a file, and write the scores at the guest.

    Parameters
    ----------
    scoring : Scoring
        From :meth:`Scoring.load`.
    progress, listening, watch : callable, optional
        As for :func:`~bluetusk.vertical.party.run.run_party`.

    Returns
    -------
    dict
        Numbers of rows, seconds and bytes by stage, what was learned.

    Raises
    ------
    BluetuskError, ValueError, OSError
        Any error that ends the scoring; start again with the same settings to resume.
    """
    config = scoring.config
    _check_output(scoring)
    identity = identity_of(config)
    parts = _halves(scoring, fingerprint(identity.peer_certificate))
    with contextlib.ExitStack() as closing:
        for part in parts:
            if config.role == "host":
                closing.enter_context(part.half.book_.held(config.job))
        needs = {config.state: 1 << 20}
        if scoring.output is not None:
            needs[str(Path(scoring.output).parent)] = 1 << 16
        check_room(needs)
        ids = _read(scoring, parts, closing)
        with opened(config, identity, listening) as held:
            if watch is not None:
                watch(held)

            def program(link: Link, keeper: Keeper) -> dict[str, Any]:
                with contextlib.nullcontext() if held.book is None else held.book:
                    result, scores, order = _run(scoring, parts, ids, link, keeper, progress, held)
                if scoring.output is not None:
                    _write(scoring.output, _table(parts, ids, order, scores), link)
                for part in parts if config.role == "host" else ():
                    _keep(part, link)
                confirm(link, keeper)
                result["bytes"] = {"sent": link.bytes_sent, "received": link.bytes_received}
                if held.recorder is not None:
                    result["learned"] = learned(held.recorder.meter.snapshot().values())
                return result

            return held.party.run(program)


def _check_output(scoring: Scoring) -> None:
    """Refuse to write over a file that is not of this job: its scores could not be had again."""
    output = scoring.output
    if output is None:
        return
    if not output:
        raise ValueError("output: the name is empty: name a new file for the scores")
    if os.path.isdir(output):
        raise ValueError(f"output: {output} is a folder: name a new file for the scores")
    if not Path(output).parent.is_dir():
        raise ValueError(f"output: {output} is in a folder that does not exist: make it, or name another file")
    if os.path.lexists(output) and not begun(scoring.config.state):
        raise ValueError(
            f"output: {output} exists already, and is not written over, since a row is scored once: name a new file"
        )


def _halves(scoring: Scoring, peer: str) -> list[_Part]:
    """Load this party's halves, which must have been trained with this peer."""
    folder, config = Path(scoring.models), scoring.config
    passphrase = os.environ.get(PASSPHRASE) or None
    if config.halves == "sealed" and passphrase is None:
        raise ValueError(f"set the environment variable {PASSPHRASE}: the halves in {folder} are sealed under it")
    there = [name for name in _NAMES if (folder / f"{name}.bt").is_file()]
    for name in scoring.model or there or _NAMES[:1]:
        if name not in there:
            raise ValueError(
                f"models: {folder} has no half {name}.bt: name the folder to which `bluetusk party` wrote its results, "
                "--models"
            )
    _same_dates(folder, config)
    parts, binning = [], WoEBinning.load(folder / "binning.bt", passphrase)
    for training, task in MODELS:
        if training.name not in (scoring.model or there):
            continue
        path = folder / f"{training.name}.bt"
        half: Any
        if training is LOGISTIC:
            half = LogisticRegression.load(path, passphrase, binning=binning)
        else:
            half = GradientBoosting.load(path, passphrase)
        if half.role != config.role:
            raise ValueError(f"{path} is the {half.role}'s half, but this party is the {config.role}: give its own")
        if half.certificate_ and half.certificate_ != peer:
            raise ValueError(
                f"{path} was trained with the peer of certificate {half.certificate_}, but {config.peer_certificate} "
                f"is {peer}: score with the peer of the training"
            )
        parts.append(_Part(training, task, half, binning, path))
    return parts


def _same_dates(folder: Path, config: Config) -> None:
    """Refuse to count dates otherwise than in the training, as far as its result is beside the halves."""
    try:
        result = json.loads((folder / "result.json").read_bytes())
        before = result.get("counted", {})
    except (OSError, ValueError, AttributeError):
        return
    if before == (now := config.data.counting()):
        return
    settings = (before or {"dates": []}) if isinstance(before, dict) else {}
    for name, value in settings.items():
        if now.get(name, []) != value:
            raise ValueError(
                f"data.{name} is {now.get(name, [])!r}, but it was {value!r} when the models in {folder} were trained: "
                "a date must become the same number; restore the setting"
            )


def _read(scoring: Scoring, parts: Sequence[_Part], closing: contextlib.ExitStack) -> list[str]:
    """Read the file once, by pieces; return the ids, the columns are on disk then."""
    data, kinds = scoring.config.data, _kinds(parts)
    for part in parts:
        dtype = "<i8" if part.logistic and part.half.role == "host" else "<f8"
        part.codes = _Codes(scoring.config.state, len(part.columns), dtype)
        closing.callback(part.codes.close)
    names = list(kinds)
    declared: dict[str, Any] = {
        kind: [name for name in names if kinds[name] == kind] for kind in ("categorical", "text")
    }
    declared |= {"dates": [name for name in names if kinds[name] == "numeric" and name in data.dates]}
    numeric = [name for name in names if kinds[name] == "numeric" and name in data.numeric]
    ids: list[str] = []
    left: Counter[str] = Counter()

    def tally(text: str) -> None:
        left[text] += 1

    for file in File.pieces(scoring.data, [data.id, *names], named={data.id: "data.id"}, size=PIECE, **data.opening()):
        ids += file.ids(data.id).tolist()
        # the training has decided what the numbers are; a piece of the file could look otherwise
        values, _ = file.columns(names, **declared, numeric=numeric, strict=False, tell=tally, **data.reading())
        for name, column in zip(names, values, strict=True):
            if kinds[name] == "numeric" and column.dtype.kind == "O":
                text = next(text for text in column.tolist() if text is not None)
                raise ValueError(
                    f"column {name!r} in {scoring.data} holds texts such as {text!r:.40}, but the models were trained "
                    "on its numbers: correct the file, or declare in [data] how its numbers are written"
                )
        table = dict(zip(names, values, strict=True))
        for part in parts:
            part.take(table, len(values[0]) if values else 0)
    if len(set(ids)) != len(ids):
        _refuse_twice(scoring)
    ids = as_ids(ids, f"{scoring.data}: {data.id}")
    if not ids:
        raise ValueError(f"{scoring.data} has no rows: give a file with rows to score")
    for text, count in left.items():
        warnings.warn(f"{text} ({count} pieces of the file)" if count > 1 else text, DataWarning, stacklevel=2)
    for part in parts:
        part.warn(len(ids))
    return ids


def _refuse_twice(scoring: Scoring) -> None:
    """Raise ValueError for the first two rows of one id, by their lines."""
    data = scoring.config.data
    first: dict[str, str] = {}
    for file in File.pieces(scoring.data, [data.id], size=PIECE, **data.opening()):
        for i, id in enumerate(file.ids(data.id).tolist()):
            if id in first:
                raise ValueError(
                    f"{scoring.data}: {first[id]} and {file.cell(i)} have the same {data.id!r}, {id!r:.60}: keep one "
                    "row for each"
                )
            first[id] = file.cell(i)


def _kinds(parts: Sequence[_Part]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for part in parts:
        for name, kind in part.kinds().items():
            if kinds.setdefault(name, kind) == "categorical" != kind == "text":
                kinds[name] = "text"
    return kinds


def _agree(scoring: Scoring, parts: Sequence[_Part], inputs: bytes, link: Link) -> bytes:
    """Compare the models before any row leaves, and draw a key of both."""
    salt = os.urandom(_SALT)
    mine = [[part.training.name, part.name] for part in parts]
    link.send("models", {"models": mine, "salt": salt})
    got = link.receive("models", ["models", "salt"], parts=0).fields
    theirs = frame.field(got, "models", list, high=len(MODELS), items=list)
    shown = frame.field(got, "salt", bytes, length=_SALT)
    if [each[:1] for each in theirs] != [each[:1] for each in mine]:
        named = [", ".join(str(each[:1][0])[:32] for each in side if each) for side in (mine, theirs)]
        raise ProtocolAbort(
            f"this party scores with {named[0]}, {link.peer!r} with {named[1]}: give both the same --model",
            kind="settings",
        )
    for (name, own), other in zip(mine, theirs, strict=True):
        if other[1:] != [own]:
            raise ProtocolAbort(
                f"the two halves of {name} are of different trainings: in {scoring.models} must be the half that "
                f"was trained together with that of {link.peer!r}",
                party=link.peer,
                kind="settings",
            )
    both = salt + shown if link.me < link.peer else shown + salt
    return both + _models_of(parts) + inputs


def _models_of(parts: Sequence[_Part]) -> bytes:
    """Return a hash of the models that are scored with."""
    return hashlib.sha256(b"".join(part.training.name.encode() + b"\0" + part.name for part in parts)).digest()


def _run(
    scoring: Scoring,
    parts: Sequence[_Part],
    ids: list[str],
    link: Link,
    keeper: Keeper,
    progress: Progress | None,
    held: Opened,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """Run the tasks; return the facts, the scores by model and the places of the rows in common."""
    config, recorder, notary = scoring.config, held.recorder, held.notary
    stages: dict[str, dict[str, float]] = {}
    if recorder is not None:
        keeper = Metered(keeper, recorder.meter)

    def stage(task: Task, function: Callable[[], Any]) -> Any:
        start, before = time.perf_counter(), link.bytes_sent + link.bytes_received
        result = function()
        passed = link.bytes_sent + link.bytes_received - before
        stages[task.stage] = {"seconds": time.perf_counter() - start, "bytes": passed}
        _finish(task, recorder, notary, link, keeper)
        return result

    inputs = inputs_of(ids, *(part.codes.digest for part in parts if part.codes is not None))
    kept = stage(AGREE, lambda: once(AGREE, lambda way: _agree(scoring, parts, inputs, way), link, keeper, progress))
    if kept[2 * _SALT : 2 * _SALT + _HASH] != _models_of(parts):
        raise ProtocolAbort(
            f"the steps in {config.state} were taken with other models than "
            f"{' and '.join(part.training.name for part in parts)} of {scoring.models}: give --model and --models as "
            "then; for another model choose a new job name at both parties",
            kind="settings",
        )
    if kept[2 * _SALT + _HASH :] != inputs:
        raise ProtocolAbort(
            f"{scoring.data} has changed since the steps in {config.state} were taken: restore it as it was then; a "
            "new job is refused the rows that this one has begun to score",
            kind="settings",
        )
    order: NDArray[np.int64] = stage(
        INTERSECT,
        lambda: intersect(
            ids,
            role=config.role,
            link=link,
            min_intersection=scoring.min_intersection,
            max_peer_ids=config.max_peer_ids,
            keeper=keeper,
            progress=progress,
        ),
    )
    common = [ids[k] for k in order.tolist()]
    digest = rows_digest(hashlib.sha256(b"bluetusk rows to score" + kept[: 2 * _SALT]).digest(), common)
    link.rows = {LOGISTIC_SCORES.name: digest, BOOSTING_SCORES.name: digest}
    scores: dict[str, NDArray[np.float64]] = {}
    for part in parts if len(order) else ():
        assert part.codes is not None
        part.codes.order = order
        found = stage(part.scoring, functools.partial(part.score, common, link, keeper, progress))
        if found is not None:
            scores[part.training.name] = found
    result = {
        "role": config.role,
        "job": config.job,
        "rows": len(ids),
        "scored": len(order),
        "unscored": len(ids) - len(order),
        "models": [part.training.name for part in parts],
        "stages": stages,
    }
    return result | ({"output": scoring.output} if scoring.output is not None else {}), scores, order


def _finish(task: Task, recorder: Recorder | None, notary: Notary | None, link: Link, keeper: Keeper) -> None:
    """Log the end of a task, and exchange the heads of both logs."""
    if recorder is not None:
        recorder.finish(task.stage)
    if notary is not None:
        exchange_heads(task, notary, link, keeper)


def _table(
    parts: Sequence[_Part], ids: Sequence[str], order: NDArray[np.int64], scores: Mapping[str, NDArray[np.float64]]
) -> bytes:
    """Return the guest's CSV: its rows in their order, with the probability by each model, and the points."""
    heads: list[str] = ["id"]
    columns: list[list[str]] = []
    for part in parts:
        name, found = part.training.name, scores.get(part.training.name, np.zeros(0))
        given = {name: [f"{p:.9g}" for p in part.half.probability(found).tolist()] if len(found) else []}
        if part.logistic and part.half.scale_ is not None:
            given[f"{name}_points"] = [str(n) for n in part.half.scale_.points(found).tolist()]
        heads += given
        columns += given.values()
    place = np.full(len(ids), -1, np.int64)
    place[order] = np.arange(len(order))
    with io.StringIO(newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*heads, "reason"])
        nothing = [""] * len(columns)
        for id, k in zip(ids, place.tolist(), strict=True):
            writer.writerow([id, *(nothing if k < 0 else [column[k] for column in columns]), "" if k >= 0 else ABSENT])
        return file.getvalue().encode()


def _keep(part: _Part, link: Link) -> None:
    """Write a host's half again; the rows are in its book already."""
    try:
        part.keep()
    except OSError as err:
        raise _unwritten(f"the half {part.path}", err, link) from err


def _unwritten(what: str, err: OSError, link: Link) -> ProtocolAbort:
    """Tell the peer that a file cannot be written; return the error for this side."""
    full = files.is_full(err)
    with contextlib.suppress(BluetuskError):
        link.abort("its results could not be written" + (": the disk is full" if full else ""))
    why = "the disk is full: free space" if full else f"{err.strerror or err}: fix it"
    return ProtocolAbort(
        f"cannot write {what}: {why} and start both parties again with the same state directories; no score is lost"
    )


def _write(path: str, data: bytes, link: Link) -> None:
    """Write the scores, whole or not at all; a file that has them already is left as it is."""
    try:
        if os.path.lexists(path):
            if Path(path).read_bytes() == data:
                return
            raise FileExistsError(17, "another file is there")
        files.write(path, data)
    except OSError as err:
        raise _unwritten(f"the scores to {path}", err, link) from err
