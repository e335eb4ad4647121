"""Makes a party's report of a run, from nothing but what the run has shown this party."""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Floats, Ints
from ...tasks import BOOSTING, LOGISTIC, MODELS, TASKS
from ..binning.bins import ColumnBins
from ..evaluation.decisions import cutoffs, reasons
from ..evaluation.metrics import stability_index
from ..evaluation.report import APPROVE, write_host_report, write_report
from ..evaluation.scorecard import scorecard
from ..evaluation.words import Words
from ..logistic.calibration import Calibration
from .config import Config
from .pipeline import Outcome

__all__ = ["Alone", "alone", "scorecard_of", "write_party_report"]

_PACKAGES = ("bluetusk", "numpy", "scikit-learn", "matplotlib", "gmpy2", "openmined-psi", "grpcio")
_SCALE = {"points_to_double": 20.0, "base_score": 600.0, "base_odds": 50.0}


@dataclass
class Alone:
    """Probabilities of the model that the guest makes of its own columns, with which it compares the joint ones.

    Attributes
    ----------
    train, test : ndarray of float64
        Of the training rows, and of the rows held back.
    """

    train: Floats
    test: Floats


def alone(outcome: Outcome) -> Alone:
    """Train a model on the guest's columns alone."""
    from sklearn.linear_model import LogisticRegression

    assert outcome.labels is not None
    test, names = outcome.test, outcome.rows.names
    own = outcome.binning.transform(outcome.rows.matrix(outcome.order), columns=names)
    fitted = LogisticRegression(max_iter=1000).fit(own[~test], outcome.labels[~test])
    found = np.asarray(fitted.predict_proba(own)[:, 1])
    return Alone(found[~test], found[test])


def scorecard_of(config: Config, outcome: Outcome) -> dict[str, Any] | None:
    """Return this party's half of the scorecard and its scale; None unless coefficients, and weights, were opened."""
    model = outcome.models.get(LOGISTIC.name)
    if model is None or not hasattr(model, "coef_") or not all(each.known for each in outcome.binning.bins_):
        return None
    used = [k for k, name in enumerate(model.columns_) if name not in outcome.left_out]
    chosen = [model.columns_[k] for k in used]
    intercept = model.intercept_
    if config.role == "host":  # the training has centred its columns, by weights that it did not know then
        by = {each.name: float(each.rows @ each.woe) / float(each.rows.sum()) for each in outcome.binning.bins_}
        intercept = -sum(float(model.coef_[k]) * by[model.columns_[k]] for k in used)
    card = scorecard(outcome.binning, model.coef_[used], intercept, columns=chosen, **_SCALE)
    return {**_SCALE, **_calibrated_scale(model.calibration_), "rows": card.table()}


def _calibrated_scale(found: Calibration | None) -> dict[str, float]:
    """Return what the scale is by the probabilities of the report: points follow the regression's own log-odds.

    Only the guest has the calibration, so a host's points cannot follow it.
    """
    if found is None:
        return {}
    odds = math.exp(min(found.slope * math.log(_SCALE["base_odds"]) - found.intercept, 700.0))
    return {"calibrated_points_to_double": _SCALE["points_to_double"] / found.slope, "calibrated_base_odds": odds}


def write_party_report(
    path: Path, config: Config, outcome: Outcome, result: Mapping[str, Any], own: Alone | None, lang: str
) -> None:
    """Write the report of this party.

    Parameters
    ----------
    path : Path
        The HTML file.
    config : Config
        This party's.
    outcome : Outcome
        Its results.
    result : mapping
        The content of ``result.json``.
    own : Alone or None
        At the guest: the model of its own columns; None at a host.
    lang : {"en", "zh"}
        The language.
    """
    words = Words(lang)
    y, test, job = outcome.labels, outcome.test, config.job
    card = result.get("scorecard")
    more: dict[str, Any] = {
        "lang": lang,
        "bins": outcome.binning.table(),
        "stability": _stability(outcome),
        "importances": _importances(config.role, outcome),
        "coefficients": _coefficients(config.role, outcome),
        "points": [] if card is None else card["rows"],
        "scale": None if card is None else {key: value for key, value in card.items() if key != "rows"},
        "facts": _facts(words, config, outcome, result),
        "settings": _settings(words, config),
        "shown": _shown(result),
        "learned_by_peer": result.get("learned_by_peer"),
        "warnings": [*result["findings"], *_unseen(words, outcome)],
        "evidence": _evidence(words, result),
    }
    if y is None:
        subtitle = words("subtitle.host", job=job, columns=len(outcome.rows.names), rows=f"{len(outcome.ids):,}")
        write_host_report(path, subtitle=subtitle, reasons=_host_reasons(words, outcome), **more)
        return
    assert own is not None  # the caller evaluates a guest's models only with it
    titles = {training.name: words(f"model.{training.name}") for training, _ in MODELS}
    models = {titles[name]: outcome.scores[name] for name in titles if name in outcome.scores}
    ranks = {titles[name]: outcome.ranks[name] for name in titles if name in outcome.scores}
    before = {titles[name]: each for name, each in _at_training(outcome).items() if name in outcome.scores}
    write_report(
        path,
        y[test],
        models | {words("model.alone"): own.test},
        subtitle=words("subtitle", job=job, rows=f"{int(test.sum()):,}"),
        baseline=words("model.alone"),
        ranks=ranks,
        reference=before | {words("model.alone"): own.train},
        reasons={titles[name]: _reasons(words, name, outcome) for name in titles if name in outcome.scores},
        left_out=outcome.left_out,
        **more,
    )


def _at_training(outcome: Outcome) -> dict[str, Floats]:
    """Return the probabilities of training rows that the guest knows: all of the trees', of the regression some.

    The regression shows the guest the scores of the rows held back to calibrate it, and no others of the training.
    """
    out: dict[str, Floats] = {}
    for name, attribute in ((LOGISTIC.name, "calibration_scores_"), (BOOSTING.name, "train_scores_")):
        model = outcome.models.get(name)
        if model is not None and hasattr(model, attribute) and len(getattr(model, attribute)):
            out[name] = model.probability(getattr(model, attribute))
    return out


def _stability(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the stability index of each of this party's columns, by its bins, from the training rows to the test."""
    test = outcome.test
    if not test.any() or test.all():
        return []
    out = []
    for each, values in _own(outcome, outcome.order):
        codes = each.codes(values)
        bins = max(2, len(np.unique(codes[~test])))
        out.append(
            {
                "party": outcome.binning.role,
                "column": each.name,
                "value": stability_index(codes[~test], codes[test], bins),
            }
        )
    return out


def _own(outcome: Outcome, rows: Ints) -> list[tuple[ColumnBins, NDArray[Any]]]:
    """Return the bins of each of this party's columns, and its values in some rows."""
    values = dict(zip(outcome.rows.names, outcome.rows.values, strict=True))
    return [(each, values[each.name][rows]) for each in outcome.binning.bins_]


def _unseen(words: Words, outcome: Outcome) -> list[str]:
    """Return how many values of this party's columns the training has not seen, by column; the screen names them."""
    out = []
    for each, values in _own(outcome, outcome.order):
        texts, absent = each.unseen(values)
        if count := texts.total() + absent:
            told = {"count": f"{count:,}", "rows": f"{len(values):,}"}
            out.append(words("warnings.unseen", column=each.name, **told))
    return out


def _importances(role: str, outcome: Outcome) -> list[dict[str, Any]]:
    model = outcome.models.get(BOOSTING.name)
    if model is None:
        return []
    pairs = zip(model.columns_, model.feature_importances_, strict=True)
    out = [{"party": role, "column": name, "value": float(value)} for name, value in pairs]
    if role == "guest":  # of the host's columns it knows what they gained together
        others = {name: share for name, share in model.party_importances_.items() if name != "guest"}
        out += [{"party": name, "column": None, "value": float(share)} for name, share in others.items()]
    return out


def _coefficients(role: str, outcome: Outcome) -> list[dict[str, Any]]:
    model = outcome.models.get(LOGISTIC.name)
    if model is None or not hasattr(model, "coef_"):  # opened only by name
        return []
    pairs = zip(model.columns_, model.coef_, strict=True)
    return [{"party": role, "column": n, "value": float(v)} for n, v in pairs if n not in outcome.left_out]


# --------------------------------------------------------------------------------------------------------- reason codes


def _reasons(words: Words, name: str, outcome: Outcome) -> list[dict[str, Any]] | str:
    """Return the reasons of the rows that the cut-off of :data:`APPROVE` refuses; the host's columns are one reason."""
    assert outcome.labels is not None
    model, rank = outcome.models[name], outcome.ranks[name]
    names = [*model.columns_, words("all_columns", party=words("party.host"))]
    if name == BOOSTING.name:
        if outcome.leaves is None:
            return words("reasons.secret")
        parts = model.contributions(outcome.leaves)
    else:
        if not hasattr(model, "coef_"):
            return words("reasons.secret")
        own = _centred(outcome, model)
        whole = rank - rank.mean()
        parts = np.column_stack([own, whole - own.sum(axis=1)])
    refused = rank > cutoffs(outcome.labels[outcome.test], rank, [APPROVE])[0]["cutoff"]
    return reasons(parts[refused], _distinct(names)) if refused.any() else words("reasons.nobody")


def _host_reasons(words: Words, outcome: Outcome) -> list[dict[str, Any]] | str:
    """Return the reasons among a host's columns of all rows held back: it does not know which are refused."""
    model = outcome.models.get(LOGISTIC.name)
    if model is None:
        return ""
    if not hasattr(model, "coef_") or not all(each.known for each in outcome.binning.bins_) or not outcome.test.any():
        return words("reasons.secret.host")
    return reasons(_centred(outcome, model), list(model.columns_))


def _centred(outcome: Outcome, model: Any) -> Floats:
    """Return what this party's columns add to the regression's scores of the test rows, less the mean of each."""
    woe = {each.name: each.transform(values) for each, values in _own(outcome, outcome.order[outcome.test])}
    parts = [
        weight * (woe[name] - woe[name].mean()) * (name not in outcome.left_out)
        for name, weight in zip(model.columns_, model.coef_, strict=True)
    ]
    return np.stack(parts, axis=1)


def _distinct(names: list[str]) -> list[str]:
    """Return names of which the last is the host's: a column of this party may have the same one."""
    while names[-1] in names[:-1]:
        names[-1] += " *"
    return names


# -------------------------------------------------------------------------------------------------------------- the run


def _facts(words: Words, config: Config, outcome: Outcome, result: Mapping[str, Any]) -> dict[str, Any]:
    facts = {
        words("fact.job"): config.job,
        words("fact.role"): words(f"party.{config.role}"),
        words("fact.date"): result["date"][:16].replace("T", " "),
        words("fact.common"): f"{result['intersection']:,}",
        words("fact.split"): f"{result['train']:,}; {result['test']:,}",
    }
    if outcome.labels is not None:
        events = int(outcome.labels[~outcome.test].sum())
        facts[words("fact.train_events")] = f"{events:,} ({words.percent(events / max(1, result['train']))})"
        if LOGISTIC.name in (known := _at_training(outcome)):
            facts[words("fact.psi")] = words("fact.calibration", rows=f"{len(known[LOGISTIC.name]):,}")
    seconds = sum(stage["seconds"] for stage in result["stages"].values())
    facts[words("fact.seconds")] = f"{seconds:,.0f}"
    facts[words("fact.bytes")] = f"{result['bytes']['sent']:,}; {result['bytes']['received']:,}"
    facts[words("fact.key")] = words("bits", value=config.model.key_size)
    facts[words("fact.reveal")] = words("comma").join(config.model.reveal) or words("fact.nothing")
    versions = [said for package in _PACKAGES if (said := _version(package))]
    facts[words("fact.versions")] = ", ".join([*versions, f"Python {platform.python_version()}"])
    return facts


def _settings(words: Words, config: Config) -> dict[str, Any]:
    given = vars(config.model)
    out = {name: given[name] for name in given if name not in ("reveal", "key_size")}
    return {name: words("fact.default") if value is None else value for name, value in out.items()}


def _version(package: str) -> str:
    with contextlib.suppress(PackageNotFoundError):
        return f"{package} {version(package)}"
    return ""


def _shown(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each task has shown, by this party's meter; none without one."""
    totals: dict[str, dict[str, int]] = {}
    for key, counts in result.get("evidence", {}).get("meter", {}).items():
        task = key.partition("/")[2]
        entry = {"sums": counts.get("sums_learned", 0), "bits": counts.get("bits_learned", 0)}
        entry["values"] = counts.get("values_revealed", 0)
        if any(entry.values()):
            before = totals.setdefault(task, dict.fromkeys(entry, 0))
            totals[task] = {what: before[what] + number for what, number in entry.items()}
    order = [task.name for task in TASKS]
    named = sorted(totals, key=lambda task: order.index(task) if task in order else len(order))
    return [{"task": task, **totals[task]} for task in named]


def _evidence(words: Words, result: Mapping[str, Any]) -> dict[str, Any]:
    given = result.get("evidence", {})
    return {words(f"evidence.{key}"): given[key] for key in ("records", "head", "peer_head") if given.get(key)}
