"""Runs one party from its configuration file to its results on disk."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evidence import Recorder
from ...evidence.notary import Notary
from ...evidence.summary import learned, learned_line
from ...storage import files
from ...tasks import BOOSTING, LOGISTIC
from ..evaluation.metrics import auc, auc_interval, ks, ks_interval
from ..evaluation.report import write_report
from ..evaluation.scorecard import scorecard
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
from .results import reserved, written
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
                alone = _alone(outcome) if unevaluated(outcome) is None and outcome.labels is not None else None
                result = _result(config, outcome, alone)
                result["bytes"] = {"sent": link.bytes_sent, "received": link.bytes_received}
                result["recovery"] = party.recovery()
                if recorder is not None and notary is not None:
                    result["evidence"] = _proved(recorder, notary)
                    result["learned"] = learned(recorder.meter.snapshot().values())
                _write(config, outcome, folder)
                if alone is not None:
                    _report(config, outcome, result, alone, folder)
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


def _alone(outcome: Outcome) -> NDArray[np.float64]:
    """Return scores of the rows held back from models of the guest's columns alone."""
    from sklearn.linear_model import LogisticRegression

    assert outcome.labels is not None
    test, names = outcome.test, outcome.rows.names
    own = outcome.binning.transform(outcome.rows.matrix(outcome.order), columns=names)
    fitted = LogisticRegression(max_iter=1000).fit(own[~test], outcome.labels[~test])
    return np.asarray(fitted.predict_proba(own[test])[:, 1])


def _result(config: Config, outcome: Outcome, alone: NDArray[np.float64] | None) -> dict[str, Any]:
    result: dict[str, Any] = {"role": config.role, "job": config.job, **outcome.sizes, "stages": outcome.stages}
    result["profile"] = [each.to_plain() for each in outcome.rows.profile]
    result["iv"] = {name: float(v) for name, v in outcome.binning.iv_.items()}
    result["left_out"], result["findings"] = outcome.left_out, outcome.findings
    reason = unevaluated(outcome)
    if reason is not None:
        result["unevaluated"] = reason
    elif outcome.labels is not None:
        y = outcome.labels
        for name, ranks in outcome.ranks.items():
            held = y[outcome.test]
            findings = useless(held, ranks, alone)
            tell(findings)
            result["findings"] += findings
            result[name] = {"auc": auc(held, ranks), "auc_interval": list(auc_interval(held, ranks))}
            result[name] |= {"ks": ks(held, ranks), "ks_interval": list(ks_interval(held, ranks))}
    boosting = outcome.models.get(BOOSTING.name)
    if boosting is not None:
        shares = np.asarray(boosting.feature_importances_, float).tolist()
        result["importances"] = dict(zip(boosting.columns_, shares, strict=True))
    return result


def _write(config: Config, outcome: Outcome, output: Path) -> None:
    passphrase = os.environ.get(PASSPHRASE) or None
    outcome.binning.save(output / "binning.bt", passphrase)
    for name, half in outcome.models.items():
        more = {"sealed": config.halves == "sealed"} if name == LOGISTIC.name else {}
        half.save(output / f"{name}.bt", passphrase, **more)
    if outcome.labels is not None:
        write_scores(output / "scores.csv", outcome)


_TITLES = {task.name: f"joint, {task.title}" for task in (BOOSTING, LOGISTIC)}


def _report(config: Config, outcome: Outcome, result: dict[str, Any], alone: NDArray[np.float64], output: Path) -> None:
    """Write the guest's report: the joint models compared with models of its own columns alone."""
    assert outcome.labels is not None  # the guest's
    y, test = outcome.labels, outcome.test
    models = {_TITLES[name]: outcome.scores[name] for name in _TITLES if name in outcome.scores}
    models["this bank alone"] = alone
    logistic, boosting = (outcome.models.get(name) for name in (LOGISTIC.name, BOOSTING.name))
    coefficients: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    if logistic is not None and hasattr(logistic, "coef_"):  # opened only by name
        used = [k for k, name in enumerate(logistic.columns_) if name not in outcome.left_out]
        chosen, weights = [logistic.columns_[k] for k in used], logistic.coef_[used]
        pairs = zip(chosen, weights, strict=True)
        coefficients = [{"party": "guest", "column": name, "value": float(value)} for name, value in pairs]
        card = scorecard(outcome.binning, weights, logistic.intercept_, columns=chosen)
        points = card.table()
    importances: list[dict[str, Any]] = []
    if boosting is not None:
        pairs = zip(boosting.columns_, boosting.feature_importances_, strict=True)
        importances = [{"party": "guest", "column": name, "value": float(value)} for name, value in pairs]
        others = {name: share for name, share in boosting.party_importances_.items() if name != "guest"}
        importances += [{"party": name, "column": "all", "value": float(share)} for name, share in others.items()]
    stages = result["stages"].values()
    facts = {
        "job": config.job,
        "customers in common": f"{result['intersection']:,}",
        "for training, held back": f"{result['train']:,}, {result['test']:,}",
        "Paillier key": f"{config.model.key_size} bits",
        "seconds": f"{sum(stage['seconds'] for stage in stages):.0f}",
        "bytes sent, received": f"{result['bytes']['sent']:,}, {result['bytes']['received']:,}",
    }
    if logistic is not None:
        facts["points"] = (
            "0 to 1023; the average customer has 256, and 20 more double the odds of the event (fewer, below 4 % of "
            "events)"
        )
    if "learned" in result:
        facts["learned"] = learned_line("this party", result["learned"])
    write_report(
        output / "report.html",
        y[test],
        models,
        title="Joint credit model",
        subtitle=f"{config.job}: {result['test']:,} customers held back",
        bins=outcome.binning.table(),
        coefficients=coefficients,
        importances=importances,
        points=points,
        facts=facts | {f"warning {k}": said for k, said in enumerate(result["findings"], 1)},
        evidence={k: v for k, v in result.get("evidence", {}).items() if k != "meter"} or None,
    )
