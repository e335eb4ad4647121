"""Runs one party from its configuration file to its results on disk."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evidence import Recorder
from ...evidence.notary import Notary
from ...evidence.summary import learned
from ...storage import files
from ...tasks import BOOSTING, LOGISTIC
from ..evaluation.metrics import auc, auc_interval, ks, ks_interval
from ..evaluation.words import language
from ..findings import tell, useless
from ..protocol.job import Keeper, Progress
from ..protocol.link import Link
from ..tables.profile import ColumnProfile
from .certs import Identity
from .checks import check_folders, check_rows
from .config import Config
from .labels import PairLabels
from .opening import PASSPHRASE, Opened, identity_of, opened
from .pipeline import Outcome, confirm, run, unevaluated, write_scores
from .reporting import Alone, alone, scorecard_of, write_party_report
from .results import REPORT, reserved, written
from .rows import Rows
from .splits import Splits

__all__ = ["run_party"]


def run_party(
    config: Config,
    *,
    progress: Progress | None = None,
    listening: Callable[[str], None] | None = None,
    profiled: Callable[[list[ColumnProfile]], None] | None = None,
    watch: Callable[[Opened], object] | None = None,
) -> dict[str, Any]:
    """Run a party's side of the whole job, and write its results.

    Parameters
    ----------
    config : Config
        The configuration, from :meth:`Config.load`.
    progress : callable, optional
        Called with the task, the steps taken and the number of steps.
    listening : callable, optional
        Called with the address, once this party listens there.
    profiled : callable, optional
        Called with the profiles of this party's columns, before the first message to the peer.
    watch : callable, optional
        Called with what is open, before the first message to the peer.

    Returns
    -------
    dict
        The content of ``result.json`` in the output directory.

    Raises
    ------
    BluetuskError, ValueError, OSError
        Any error that ends the run; start again with the same file to resume.
    """
    rows = Rows.read(config)
    if profiled is not None:
        profiled(rows.profile)
    check_rows(config, rows)
    check_folders(config, rows)
    try:
        os.environ.get(PASSPHRASE, "").encode()
    except UnicodeEncodeError:  # its message would quote the passphrase
        raise ValueError(f"{PASSPHRASE} must be UTF-8 text: models could not be saved under other bytes") from None
    if config.halves == "sealed" and not os.environ.get(PASSPHRASE):
        raise ValueError(
            f"set the environment variable {PASSPHRASE}: the halves of the models are saved under it, since both "
            'together are the whole model; or write halves = "open" above the sections, to save them without'
        )
    with reserved(Path(config.output)):
        return _run_held(config, rows, progress, listening, watch)


def _run_held(
    config: Config,
    rows: Rows,
    progress: Progress | None,
    listening: Callable[[str], None] | None,
    watch: Callable[[Opened], object] | None,
) -> dict[str, Any]:
    """Run one party after its files have passed their checks and its output is reserved."""
    identity = identity_of(config)
    splits = Splits(config.splits, identity.state_key(), pair=_pair(config, identity))
    with opened(config, identity, listening) as held:
        if watch is not None:
            watch(held)
        party, recorder, notary, book = held.party, held.recorder, held.notary, held.book

        def program(link: Link, keeper: Keeper) -> dict[str, Any]:
            with contextlib.nullcontext() if book is None else book:
                outcome = run(
                    config,
                    rows,
                    link,
                    keeper,
                    progress=progress,
                    recorder=recorder,
                    notary=notary,
                    splits=splits,
                    pair_labels=PairLabels(splits),
                )
            with written(Path(config.output), link, config.job) as folder:
                own = alone(outcome) if unevaluated(outcome) is None and outcome.labels is not None else None
                result = _result(config, outcome, None if own is None else own.test)
                result["date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                result["bytes"] = {"sent": link.bytes_sent, "received": link.bytes_received}
                result["recovery"] = party.recovery()
                if not any(result["bytes"].values()):
                    result |= _course(Path(config.output) / "result.json", config)
                if recorder is not None and notary is not None:
                    result["evidence"] = _proved(recorder, notary)
                    result["learned"] = learned(recorder.meter.snapshot().values())
                    if recorder.guard is not None:
                        (peer,) = recorder.peers.values()  # its fingerprint
                        told = recorder.guard.learned().get(peer, {})
                        result["learned_by_peer"] = {what: told.get(what, 0) for what in ("sums", "bits")}
                _write(config, outcome, folder)
                if outcome.labels is None or own is not None:
                    _report(config, outcome, result, own, folder)
                files.write(folder / "result.json", (json.dumps(result, indent=2) + "\n").encode())
                confirm(link, keeper)
            return result

        return party.run(program)


def _pair(config: Config, identity: Identity) -> bytes:
    """Return a name of the two parties from the keys of their certificates, the guest's first: the same at both."""
    return identity.pair(config.role)


def _proved(recorder: Recorder, notary: Notary) -> dict[str, Any]:
    held = recorder.log.peer_head(notary.party)
    return {
        "records": len(recorder.log),
        "meter": {f"{party}/{task}": counts for (party, task), counts in recorder.meter.totals().items()},
        "head": recorder.log.head().root.hex(),
        "peer_head": "" if held is None else held.root.hex(),
    }


def _result(config: Config, outcome: Outcome, own: NDArray[np.float64] | None) -> dict[str, Any]:
    result: dict[str, Any] = {"role": config.role, "job": config.job, **outcome.sizes, "stages": outcome.stages}
    result["profile"] = [each.to_plain() for each in outcome.rows.profile]
    if config.data.dates:  # `bluetusk score` counts dates alike
        result["counted"] = config.data.counting()
    result["iv"] = {name: float(v) for name, v in outcome.binning.iv_.items()}
    result["left_out"], result["findings"] = outcome.left_out, outcome.findings
    reason = unevaluated(outcome)
    if reason is not None:
        result["unevaluated"] = reason
    elif outcome.labels is not None:
        y = outcome.labels
        for name, ranks in outcome.ranks.items():
            held = y[outcome.test]
            findings = useless(held, ranks, own)
            tell(findings)
            result["findings"] += findings
            result[name] = {"auc": auc(held, ranks), "auc_interval": list(auc_interval(held, ranks))}
            result[name] |= {"ks": ks(held, ranks), "ks_interval": list(ks_interval(held, ranks))}
    boosting = outcome.models.get(BOOSTING.name)
    if boosting is not None:
        shares = np.asarray(boosting.feature_importances_, float).tolist()
        result["importances"] = dict(zip(boosting.columns_, shares, strict=True))
    if (card := scorecard_of(config, outcome)) is not None:
        result["scorecard"] = card
    return result


def _course(path: Path, config: Config) -> dict[str, Any]:
    """Return when and how a job ran that had ended before, from its result: nothing is sent when it is started again.

    Empty if the result is not there, or is that of another job.
    """
    try:
        kept = json.loads(path.read_bytes())
        named = (kept["job"], kept["role"])
        found = {name: kept[name] for name in ("date", "stages", "bytes", "recovery")}
        seconds = [stage["seconds"] + stage["bytes"] for stage in found["stages"].values()]
        numbers = [*seconds, found["bytes"]["sent"], found["bytes"]["received"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    whole = isinstance(found["date"], str) and all(isinstance(each, int | float) for each in numbers)
    return found if whole and named == (config.job, config.role) else {}


def _write(config: Config, outcome: Outcome, output: Path) -> None:
    passphrase = os.environ.get(PASSPHRASE) or None
    outcome.binning.save(output / "binning.bt", passphrase)
    for name, half in outcome.models.items():
        more = {"sealed": config.halves == "sealed"} if name == LOGISTIC.name else {}
        half.save(output / f"{name}.bt", passphrase, **more)
    if outcome.labels is not None:
        write_scores(output / "scores.csv", outcome)


def _report(config: Config, outcome: Outcome, result: dict[str, Any], own: Alone | None, output: Path) -> None:
    write_party_report(output / REPORT, config, outcome, result, own, language(config.lang))
