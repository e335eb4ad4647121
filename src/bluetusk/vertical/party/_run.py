"""One party from its configuration file to its results on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...evidence import Guard, Log, Meter, Recorder, fingerprint, read_public_key
from ...evidence import Identity as Signer
from ...paillier import keyfile
from .._job import Progress
from ..evaluation import auc, ks, scorecard
from ..profile import ColumnProfile
from ..report import write_report
from ._certs import Identity
from ._config import Config
from ._party import Party
from ._pipeline import Outcome, Rows, peer_name, run, write_scores

__all__ = ["run_party"]

PASSPHRASE = "BLUETUSK_PASSPHRASE"  # the name of an environment variable  # noqa: S105


def run_party(
    config: Config,
    *,
    progress: Progress | None = None,
    listening: Callable[[str], None] | None = None,
    profiled: Callable[[list[ColumnProfile]], None] | None = None,
) -> dict[str, Any]:
    """Run a party's side of the whole job, and write its results.

    Parameters
    ----------
    config : Config
        From :meth:`Config.load`.
    progress : callable, optional
        Called with the task, the steps taken and the steps there are.
    listening : callable, optional
        Called with the address, once this party listens there.
    profiled : callable, optional
        Called with what the columns of the own table hold, before the peer hears anything.

    Returns
    -------
    dict
        What is also in ``result.json`` of the output directory.

    Raises
    ------
    BluetuskError, ValueError, OSError
        Whatever ends the run; start again with the same file to go on.
    """
    rows = Rows.read(config)
    if profiled is not None:
        profiled(rows.profile)
    identity = Identity.load(config.certificate, config.key, config.peer_certificate)
    output = Path(config.output)
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    recorder = peer_key = None
    if config.evidence is not None:
        recorder, peer_key = _recorder(config, identity)
    way = {"listen": config.listen} if config.listen is not None else {"connect": config.connect}
    with Party(
        config.role,
        job=config.job,
        identity=identity,
        state=config.state,
        patience=config.patience,
        observer=recorder,
        **way,
    ) as party:
        if listening is not None and config.listen is not None:
            listening(party.address)
        outcome = party.run(
            lambda link, keeper: run(
                config, rows, link, keeper, progress=progress, recorder=recorder, peer_key=peer_key
            )
        )
        moved = {"sent": party.link.bytes_sent, "received": party.link.bytes_received}
        restarts = party.recovery()
    result = _result(config, outcome)
    result["bytes"] = moved
    result["recovery"] = restarts
    _write(config, outcome, output)
    if recorder is not None:
        result["evidence"] = {
            "records": len(recorder.log),
            "meter": {f"{party}/{task}": counts for (party, task), counts in recorder.meter.totals().items()},
        }
        result["evidence"]["head"] = recorder.log.head().root.hex()
        assert peer_key is not None  # it came with the recorder
        held = recorder.log.peer_head(peer_name("host" if config.role == "guest" else "guest", peer_key))
        result["evidence"]["peer_head"] = "" if held is None else held.root.hex()
        recorder.log.close()
        if recorder.guard is not None:
            recorder.guard.close()
    if outcome.labels is not None:
        _report(config, outcome, result, output)
    keyfile.write(output / "result.json", (json.dumps(result, indent=2) + "\n").encode(), overwrite=True)
    return result


def _recorder(config: Config, identity: Identity) -> tuple[Recorder, bytes]:
    given = config.evidence
    assert given is not None  # the caller looked
    passphrase = os.environ.get(PASSPHRASE) or None
    if passphrase is None:
        raise ValueError(f"{given.identity} is under a passphrase: set the environment variable {PASSPHRASE}")
    signer = Signer.load(given.identity, passphrase)
    log = Log.open(given.log, signer) if Path(given.log).exists() else Log.create(given.log, signer, owner=config.role)
    guard = None
    if given.policy is not None:
        guard = Guard(given.policy, f"{given.log}.uses", owner=signer.public_key)
    peer = "host" if config.role == "guest" else "guest"
    recorder = Recorder(
        log=log,
        meter=Meter(),
        job=config.job,
        me=config.role,
        peers={peer: fingerprint(identity.peer_certificate)},
        guard=guard,
    )
    return recorder, read_public_key(given.peer_key)


def _result(config: Config, outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {"role": config.role, "job": config.job, **outcome.sizes, "stages": outcome.stages}
    result["profile"] = [each.to_plain() for each in outcome.rows.profile]
    result["iv"] = {name: float(v) for name, v in outcome.binning.iv_.items()}
    if outcome.labels is not None:
        y = outcome.labels
        for name, scores in outcome.scores.items():
            part = outcome.test
            result[name] = {"auc": auc(y[part], scores), "ks": ks(y[part], scores)}
    boosting = outcome.models.get("gradient_boosting")
    if boosting is not None:
        shares = np.asarray(boosting.feature_importances_, float).tolist()
        result["importances"] = dict(zip(boosting.columns_, shares, strict=True))
    return result


def _write(config: Config, outcome: Outcome, output: Path) -> None:
    passphrase = os.environ.get(PASSPHRASE) or None
    outcome.binning.save(output / "binning.bt", passphrase)
    for name, half in outcome.models.items():
        half.save(output / f"{name}.bt", passphrase)
    if outcome.labels is not None:
        write_scores(output / "scores.csv", outcome)


_TITLES = {"gradient_boosting": "joint, boosted trees", "logistic_regression": "joint, logistic regression"}


def _report(config: Config, outcome: Outcome, result: dict[str, Any], output: Path) -> None:
    """Write the guest's report: the joint models beside what its own columns alone give."""
    from sklearn.linear_model import LogisticRegression

    assert outcome.labels is not None  # the guest's
    y, test = outcome.labels, outcome.test
    models = {_TITLES[name]: outcome.scores[name] for name in _TITLES if name in outcome.scores}
    names = outcome.rows.names
    own = outcome.binning.transform(outcome.rows.matrix(outcome.order), columns=names)
    alone = LogisticRegression(max_iter=1000).fit(own[~test], y[~test])
    models["this bank alone"] = alone.predict_proba(own[test])[:, 1]
    logistic, boosting = (outcome.models.get(name) for name in ("logistic_regression", "gradient_boosting"))
    coefficients: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    if logistic is not None:
        pairs = zip(logistic.columns_, logistic.coef_, strict=True)
        coefficients = [{"party": "guest", "column": name, "value": float(value)} for name, value in pairs]
        card = scorecard(outcome.binning, logistic.coef_, logistic.intercept_, columns=logistic.columns_)
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
        facts=facts,
        evidence={k: v for k, v in result.get("evidence", {}).items() if k != "meter"} or None,
    )
