"""Writes the reports of a joint model, one HTML file each: for reading on paper, without a script or a network."""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._numeric import Floats, Ints
from ..._version import __version__
from ...storage import files
from ..tables.columns import as_labels, as_scores
from .decisions import cutoffs, swap_set
from .metrics import auc, auc_gain, auc_interval, ks, ks_interval, rank_table, stability_index
from .page import (
    INK,
    LONGEST,
    Html,
    Stroke,
    bar,
    figure,
    grid,
    heading,
    isolated,
    page,
    paragraph,
    pill,
    scale_bar,
    table,
    text,
    unbroken,
    width,
)
from .page import said as shortened
from .words import Words

__all__ = ["APPROVE", "write_host_report", "write_report"]

APPROVE = 0.8
"""The share of customers that both models approve where the report compares their decisions."""

# the report has fewer than eight pages, however many columns there are
_MOST_COLUMNS = 36
_MOST_LINES = 280  # of the tables of bins, with their heads
_MOST_BINS = 14
_MOST_REASONS = 8
_WIDEST = 36  # of a name in a table of numbers, in Latin letters
_MOST_WARNINGS = 16
_LONGEST_WARNING = 400
_SHORT = 10  # the width of a category that is not broken
_ONE_LINE = 16  # characters of a bin's description that fit beside its numbers
_POINTS = 200  # of a curve
_EVEN = 0.01  # two shares approved that differ by no more are called the same
_NUMBER = re.compile(r"-?\d[\d.]*(?:e[+-]?\d+)?")
_NUMERIC = re.compile(rf"[\[(](?:-inf|{_NUMBER.pattern}),\s(?:inf|{_NUMBER.pattern})\)(?:, .*)?")
_NOT_DONE = ("reject", "time", "training", "kind", "many", "money", "fairness", "expert")


@dataclass
class _Model:
    """A model's scores of the test rows: values to rank by, probabilities, probabilities at training."""

    name: str
    rank: Floats
    probability: Floats
    before: Floats | None


@dataclass
class _Parts:
    """The page so far, its sections counted."""

    words: Words
    out: list[str] = field(default_factory=list)
    sections: int = 0

    def section(self, title: str, *parts: str) -> None:
        """Add a section."""
        self.sections += 1
        self.out += [heading(self.sections, title), *parts]


def write_report(
    path: str | os.PathLike[str],
    y: ArrayLike,
    models: Mapping[str, ArrayLike],
    *,
    title: str | None = None,
    subtitle: str = "",
    lang: str = "en",
    baseline: str | None = None,
    ranks: Mapping[str, ArrayLike] | None = None,
    reference: ArrayLike | Mapping[str, ArrayLike] | None = None,
    approve: float = APPROVE,
    bins: Sequence[Mapping[str, Any]] = (),
    coefficients: Sequence[Mapping[str, Any]] = (),
    importances: Sequence[Mapping[str, Any]] = (),
    stability: Sequence[Mapping[str, Any]] = (),
    points: Sequence[Mapping[str, Any]] = (),
    scale: Mapping[str, float] | None = None,
    reasons: Mapping[str, Sequence[Mapping[str, Any]] | str] | None = None,
    left_out: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    shown: Sequence[Mapping[str, Any]] | None = None,
    learned_by_peer: Mapping[str, int] | None = None,
    warnings: Sequence[str] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of the party with the labels: it opens in any browser and prints whole.

    Parameters
    ----------
    path : path-like
        The HTML file; an existing one is replaced. Only its owner may read it (mode 0600): it reveals much about the
        customers.
    y : array_like of shape (n,)
        Labels of the test rows, 0 and 1.
    models : mapping of str to array_like of shape (n,)
        Predicted probabilities on these rows by model, the joint models first.
    title, subtitle : str, optional
        Title and subtitle of the report.
    lang : {"en", "zh"}
        The language of the report. Names, facts and warnings stay as they are given.
    baseline : str, optional
        The one of `models` that decides without the other party's columns; by default the last, if there are several.
    ranks : mapping of str to array_like of shape (n,), optional
        By model: values to rank by, where probabilities round extreme scores to the same float.
    reference : array_like, or mapping of str to array_like, optional
        Probabilities at training, for the stability index: of the first model, or by model.
    approve : float
        The share of customers that the models approve where their decisions are compared.
    bins : sequence of mapping, optional
        From :meth:`WoEBinning.table`.
    coefficients, importances, stability : sequence of mapping, optional
        Each with the keys party, column, value: coefficients of the regression, shares of the gain of the trees,
        stability indices of the columns. Leave out columns whose value this party does not know; `column` may be None
        for all columns of a party together.
    points : sequence of mapping, optional
        From :meth:`Scorecard.table`, of one party or of several.
    scale : mapping of str to float, optional
        The scale of the points: `points_to_double`, `base_score`, `base_odds`; where probabilities are calibrated apart
        from the points, also `calibrated_points_to_double` and `calibrated_base_odds` at the base score.
    reasons : mapping of str to sequence of mapping, or to str, optional
        By model: from :func:`~bluetusk.vertical.evaluation.reasons` for the rows that `approve` refuses (see
        :func:`~bluetusk.vertical.evaluation.cutoffs`), or why there are none.
    left_out : sequence of str
        Names of own columns that the regression does not use.
    facts, settings : mapping of str to value, optional
        Facts of the run; parameters and versions.
    shown : sequence of mapping, optional
        What each task showed, with the keys task, sums, bits, values.
    learned_by_peer : mapping of str to int, optional
        The most `sums` and `bits` that the other party has learned: from :meth:`~bluetusk.evidence.Guard.learned`.
    warnings : sequence of str, optional
        Warnings of the run.
    evidence : mapping of str to value, optional
        Facts that the log proves: number of records, the signed heads.

    Raises
    ------
    ValueError
        If `models` is empty, a score is not between 0 and 1, the lengths differ, the labels are not both 0 and 1, or
        `lang`, `baseline`, `ranks` or `reasons` name what there is not.
    TypeError
        If scores are masked (:mod:`numpy.ma`) or not real numbers.
    ModuleNotFoundError
        If matplotlib (extra ``vertical``) is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> p = np.linspace(0.01, 0.99, 200)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(folder + "/report.html", p > 0.5, {"joint": p}, title="Example")
    ...     "<h1>Example</h1>" in Path(folder, "report.html").read_text()
    True
    """
    words = Words(lang)
    _needs_matplotlib()
    given, labels = _checked(y, models, ranks, reference)
    alone = _baseline(given, baseline)
    joint = [model for model in given if model is not alone]
    for name in reasons or {}:
        if name not in models:
            raise ValueError(f"reasons names {name!r}, which is not one of models: {', '.join(map(repr, models))}")

    parts = _begun(words, title or words("title"), subtitle)
    _headline(parts, labels, joint, alone, approve)
    _compared(parts, labels, given, alone)
    _charts(parts, labels, given, joint, alone)
    _decisions(parts, labels, joint, alone, approve)
    if reasons:
        _reasons(parts, reasons, approve)
    _columns(parts, bins, coefficients, importances, stability, left_out, points, scale, host=False)
    not_done = [f"not.{each}" for each in _NOT_DONE if each != "kind" or alone is not None]
    _ended(parts, facts, settings, shown, warnings, evidence, not_done, learned_by_peer)
    files.write(path, page(words, title or words("title"), parts.out), overwrite=True)


def write_host_report(
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    subtitle: str = "",
    lang: str = "en",
    bins: Sequence[Mapping[str, Any]] = (),
    coefficients: Sequence[Mapping[str, Any]] = (),
    importances: Sequence[Mapping[str, Any]] = (),
    stability: Sequence[Mapping[str, Any]] = (),
    points: Sequence[Mapping[str, Any]] = (),
    scale: Mapping[str, float] | None = None,
    reasons: Sequence[Mapping[str, Any]] | str = "",
    facts: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    shown: Sequence[Mapping[str, Any]] | None = None,
    learned_by_peer: Mapping[str, int] | None = None,
    warnings: Sequence[str] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of a party without labels: its own columns, and what it has seen and shown.

    Parameters
    ----------
    path : path-like
        The HTML file, mode 0600; an existing one is replaced.
    title, subtitle, lang
        As for :func:`write_report`.
    bins, coefficients, importances, stability, points, scale
        As for :func:`write_report`, of this party's columns. Importances are shares of this party's splits.
    reasons : sequence of mapping, or str
        From :func:`~bluetusk.vertical.evaluation.reasons`, or why there are none.
    facts, settings, shown, learned_by_peer, warnings, evidence
        As for :func:`write_report`.

    Raises
    ------
    ValueError
        If `lang` is not a language of the reports.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_host_report(folder + "/report.html", facts={"job": "example"})
    ...     "report of the host" in Path(folder, "report.html").read_text()
    True
    """
    words = Words(lang)
    parts = _begun(words, title or words("title.host"), subtitle)
    _columns(parts, bins, coefficients, importances, stability, (), points, scale, host=True)
    if reasons:
        told = [] if isinstance(reasons, str) else [_note(words("reasons.host"))]
        parts.section(words("reasons"), *told, _reason_table(words, reasons, mean=False))
    _ended(parts, facts, settings, shown, warnings, evidence, ["not.host", "not.time", "not.fairness"], learned_by_peer)
    files.write(path, page(words, title or words("title.host"), parts.out), overwrite=True)


# ------------------------------------------------------------------------------------------------------------ arguments


def _needs_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError("the report needs matplotlib: pip install 'bluetusk[vertical]'", name="matplotlib")


def _checked(
    y: ArrayLike,
    models: Mapping[str, ArrayLike],
    ranks: Mapping[str, ArrayLike] | None,
    reference: ArrayLike | Mapping[str, ArrayLike] | None,
) -> tuple[list[_Model], Ints]:
    if not models:
        raise ValueError("models is empty: give the joint model's probabilities")
    scores = {name: as_scores(score, f"models[{name!r}]") for name, score in models.items()}
    first = next(iter(scores.values()))
    labels = as_labels(y, len(first), "scores")
    for name, score in scores.items():
        if score.shape != first.shape or not ((score >= 0) & (score <= 1)).all():
            raise ValueError(f"models[{name!r}] must hold {len(first)} probabilities between 0 and 1")
    before: dict[str, Floats] = {}
    if isinstance(reference, Mapping):
        before = {name: as_scores(each, f"reference[{name!r}]") for name, each in reference.items()}
    elif reference is not None:
        before = {next(iter(scores)): as_scores(reference, "reference")}
    ordered = {name: as_scores(each, f"ranks[{name!r}]") for name, each in (ranks or {}).items()}
    for what, named in (("reference", before), ("ranks", ordered)):
        for name in named:
            if name not in scores:
                raise ValueError(f"{what} names {name!r}, which is not one of models: {', '.join(map(repr, scores))}")
    for name, each in ordered.items():
        if each.shape != first.shape:
            raise ValueError(f"ranks[{name!r}] must hold {len(first)} values, one for each test row, not {len(each)}")
    return [_Model(name, ordered.get(name, p), p, before.get(name)) for name, p in scores.items()], labels


def _baseline(models: Sequence[_Model], baseline: str | None) -> _Model | None:
    if baseline is None:
        return models[-1] if len(models) > 1 else None
    for model in models:
        if model.name == baseline and len(models) > 1:
            return model
    raise ValueError(f"baseline is {baseline!r}: it must name one of two models or more, and not the only one")


def _begun(words: Words, title: str, subtitle: str) -> _Parts:
    head = [f"<h1>{text(title)}</h1>"]
    if subtitle:
        head.append(f'<p class="sub">{text(subtitle)}</p>')
    return _Parts(words, head)


def _note(said: str) -> Html:
    return paragraph(said, note=True)


# ----------------------------------------------------------------------------------------------------------- the models


def _signed(value: float, digits: int = 4) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # no minus before a 0


def _with_interval(words: Words, value: str, low: float, high: float, *, signed: bool = False) -> Html:
    """Return a value and its interval; on a narrow page the interval stands below."""
    between = words("between", low=f"{low:+.3f}", high=f"{high:+.3f}") if signed else f"{low:.3f}–{high:.3f}"
    return Html(f'{value} <span class="ci">({text(between)})</span>')


def _headline(parts: _Parts, labels: Ints, joint: Sequence[_Model], alone: _Model | None, approve: float) -> None:
    words = parts.words
    said: list[str] = []
    tiles: list[tuple[str, str, str]] = []
    for model in joint:
        area = auc(labels, model.rank)
        if alone is None:
            low, high = auc_interval(labels, model.rank)
            label, value = words("tile.auc", model="\0"), f"{area:.4f}"
        else:
            gain, (low, high) = auc_gain(labels, model.rank, alone.rank)
            verdict = "better" if low > 0 else "worse" if high < 0 else "same"
            line = words(
                f"gain.{verdict}",
                model="\0",
                baseline="\1",
                area=f"{area:.4f}",
                other=f"{auc(labels, alone.rank):.4f}",
                gain=_signed(gain),
                low=f"{low:+.3f}",
                high=f"{high:+.3f}",
            )
            said.append(paragraph(_filled(line, isolated(model.name), isolated(alone.name))))
            label, value = words("tile.gain", model="\0"), _signed(gain)
        sign = "" if alone is None else "+"
        between = words("interval", low=f"{low:{sign}.3f}", high=f"{high:{sign}.3f}")
        tiles.append((_filled(label, isolated(model.name)), value, text(between)))
    if alone is not None:
        best, before = (cutoffs(labels, each.rank, [approve])[0] for each in (joint[0], alone))
        key = "tile.uneven" if _uneven(before, best["approved"]) else "tile.instead"
        known = {"other": words.percent(before["rate"]), "share": words.percent(before["approved"], 0)}
        small = _filled(words(key, model="\0", **known), isolated(joint[0].name))
        share = words.percent(best["approved"] if _uneven(best, approve) else approve, 0)
        tiles.append((text(words("tile.bad", share=share)), words.percent(best["rate"]), small))
    events, rate = f"{int(labels.sum()):,}", words.percent(float(labels.mean()))
    tiles.append((text(words("tile.rows")), f"{len(labels):,}", text(words("tile.events", events=events, rate=rate))))
    made = [Html(f'<div class="tile">{a}<b>{text(b)}</b><span>{c}</span></div>') for a, b, c in tiles]
    title = words("headline" if alone is not None else "headline.plain")
    parts.section(title, *said, grid("tiles", made), *([_note(words("gain.how"))] if said else []))


def _filled(line: str, *names: Html) -> Html:
    """Return a text with names, which are HTML, in the places of the characters 0, 1, ..., which no text has."""
    return Html("".join(names[ord(piece)] if piece in ("\0", "\1") else text(piece) for piece in _cut(line)))


def _cut(line: str) -> list[str]:
    pieces = [""]
    for c in line:
        if c in "\0\1":
            pieces += [c, ""]
        else:
            pieces[-1] += c
    return pieces


def _compared(parts: _Parts, labels: Ints, models: Sequence[_Model], alone: _Model | None) -> None:
    words = parts.words
    indices = {m.name: _index(words, m.before, m.probability) for m in models if m.before is not None}
    rows: list[list[object]] = []
    for model in models:
        row: list[object] = [isolated(model.name)]
        row.append(_with_interval(words, f"{auc(labels, model.rank):.4f}", *auc_interval(labels, model.rank)))
        if alone is not None and model is not alone:
            gain, between = auc_gain(labels, model.rank, alone.rank)
            row.append(_with_interval(words, _signed(gain), *between, signed=True))
        elif alone is not None:
            row.append(words("none"))
        row.append(_with_interval(words, f"{ks(labels, model.rank):.4f}", *ks_interval(labels, model.rank)))
        row.append(words.significant(float(((model.probability - labels) ** 2).mean()), 4))
        if indices:
            row.append(indices.get(model.name, words("none")))
        rows.append(row)
    head = [words("model"), words("auc"), *([words("gain")] if alone is not None else []), words("ks"), words("brier")]
    head += [words("psi")] if indices else []
    parts.section(words("models"), table(head, rows, stack=True), _note(words("models.note")))


def _index(words: Words, before: Floats, now: Floats) -> Html:
    """Return the stability index of a score, and how large chance alone makes it: the mean of 9 of its ten bins."""
    chance = 9.0 * (1.0 / len(before) + 1.0 / len(now))
    by = text(words("psi.chance", value=f"{chance:.3f}"))
    return Html(f'{stability_index(before, now):.4f} <span class="ci">({by})</span>')


def _charts(
    parts: _Parts, labels: Ints, models: Sequence[_Model], joint: Sequence[_Model], alone: _Model | None
) -> None:
    from . import charts  # matplotlib takes a second to load

    words = parts.words
    ranks = {model.name: model.rank for model in models}
    looks = charts.strokes(len(models), None if alone is None else list(models).index(alone))
    keys = [(isolated(model.name), look) for model, look in zip(models, looks, strict=True)]
    drawn = [
        figure(
            words("chart.all", chart=words(f"chart.{kind}")),
            draw(labels, ranks, looks),
            x=words(f"chart.{kind}.x"),
            y=words(f"chart.{kind}.y"),
            keys=keys,
        )
        for kind, draw in (
            ("roc", charts.roc_chart),
            ("approval", charts.approval_chart),
            ("lift", charts.lift_chart),
        )
    ]
    out = [grid("three", drawn)]
    for number, model in enumerate(joint):
        groups = [(words("good"), charts.GOOD), (words("event"), charts.EVENT)]
        ink = Stroke(INK)
        thin = Stroke(INK, width=0.6)
        apart = Stroke(INK, (3.0, 2.0))
        before = [(words("at_training"), ink)] if model.before is not None else []
        distance = words("farthest", value=f"{ks(labels, model.probability):.3f}")
        three: list[tuple[str, str, list[tuple[object, Any]]]] = [
            ("ks", charts.ks_chart(labels, model.probability, str(number)), [*groups, (distance, apart)]),
            (
                "distribution",
                charts.distribution_chart(labels, model.probability, model.before, str(number)),
                [(words("good"), charts.GOOD), (words("event"), Stroke(charts.EVENT.color)), *before],
            ),
            (
                "calibration",
                charts.calibration_chart(
                    labels, model.probability, None if alone is None else alone.probability, str(number)
                ),
                [
                    (words("with_interval"), charts.GOOD),
                    *([(isolated(alone.name), charts.BASELINE)] if alone is not None else []),
                    (words("as_predicted"), thin),
                ],
            ),
        ]
        made = [
            figure(
                _filled(words("chart.of", model="\0", chart=words(f"chart.{kind}")), isolated(model.name)),
                drawing,
                x=words(f"chart.{kind}.x"),
                y=words(f"chart.{kind}.y"),
                keys=keys,
            )
            for kind, drawing, keys in three
        ]
        out.append(grid("three", made))
    parts.out += out


def _titled(title: str, *parts: str) -> Html:
    """Return parts under a title, on one page."""
    return Html(f'<div class="keep"><h3>{title}</h3>{"".join(parts)}</div>')


def _decisions(parts: _Parts, labels: Ints, joint: Sequence[_Model], alone: _Model | None, approve: float) -> None:
    words = parts.words
    none = words("none")
    tables = []
    for model in joint:
        rows: list[list[object]] = []
        for found in cutoffs(labels, model.rank):
            taken = model.rank <= found["cutoff"]
            at = _threshold(float(model.probability[taken].max()), model.probability[~taken])
            row: list[object] = [words.percent(found["approved"]), at, words.percent(found["rate"])]
            if alone is not None:
                (other,) = cutoffs(labels, alone.rank, [min(max(found["approved"], 1e-9), 1 - 1e-9)])
                row.append(_at_share(words, other, found["approved"]))
            row += [f"{found[f'bad_{what}']:,} + {found[f'good_{what}']:,}" for what in ("approved", "refused")]
            rows.append(row)
        head = [words("approved"), words("cutoff"), words("bad_rate")]
        head += [words("bad_rate.alone")] if alone is not None else []
        head += [words("confusion.approved"), words("confusion.refused")]
        tables.append(_titled(isolated(model.name), table(head, rows, left=())))
    parts.section(words("cutoffs"), _note(words("cutoffs.note")), *tables)
    if alone is not None:
        tables = []
        for model in joint:
            rows = []
            for group, found in swap_set(labels, model.rank, alone.rank, approve).items():
                rate: object = none
                if found["rate"] is not None:
                    ends = (words.percent(end) for end in found["interval"])
                    rate = _between(words.percent(found["rate"]), *ends)
                rows.append([words(f"swap.{group}"), f"{found['rows']:,}", f"{found['events']:,}", rate])
            head = [words("swap.group"), words("rows"), words("events"), words("bad_rate.ci")]
            ours, theirs = (cutoffs(labels, each.rank, [approve])[0] for each in (model, alone))
            known = {"ours": words.percent(ours["approved"]), "theirs": words.percent(theirs["approved"])}
            uneven = [_note(words("swap.uneven", **known))] if _uneven(ours, theirs["approved"]) else []
            tables.append(_titled(isolated(model.name), table(head, rows), *uneven))
        share = words.percent(approve, 0)
        parts.section(words("swap"), _note(words("swap.note", share=share)), grid("two", tables))
    tables = []
    for model in joint:
        ranked = rank_table(labels, model.rank)
        so_far = np.cumsum([row["rows"] for row in ranked]) / len(labels)
        rows = []
        for k, part in enumerate(ranked):
            lowest = float(model.probability[model.rank >= part["lowest"]].min())
            cells = [f"{k + 1}", f"{part['rows']:,.0f}", f"{part['events']:,.0f}", words.percent(part["rate"])]
            cells += [words.percent(part["caught"]), f"{part['caught'] / so_far[k]:.2f}", words.significant(lowest, 4)]
            rows.append([*cells])
        head = [words(key) for key in ("tenth", "rows", "events", "rate", "caught", "lift", "lowest")]
        tables.append(_titled(isolated(model.name), table(head, rows, left=())))
    parts.section(words("tenths"), grid("two", tables))


def _threshold(at: float, above: Floats) -> str:
    """Return the shortest number, of four decimals or more, that separates the approved from the refused."""
    least = float(above.min()) if len(above) else 1.0
    for digits in range(4, 10):
        shown = math.ceil(round(at * 10**digits, 6)) / 10**digits
        if at <= shown < least:
            return f"{shown:.{digits}f}"
    return f"{at:.4f}"


def _uneven(found: Mapping[str, Any], share: float) -> bool:
    """Return whether equal scores keep the share approved away from the one that was asked for."""
    return bool(abs(found["approved"] - share) > _EVEN)


def _at_share(words: Words, found: Mapping[str, Any], share: float) -> Html:
    """Return a bad rate, with the share approved where it is not the one of the line."""
    rate = words.percent(found["rate"])
    if not _uneven(found, share):
        return text(rate)
    at = text(words("bad_rate.at", share=words.percent(found["approved"], 0)))
    return Html(f'{rate} <span class="ci">({at})</span>')


def _between(value: str, low: str, high: str) -> Html:
    return Html(f'{value} <span class="ci">({low}–{high})</span>')


def _reasons(parts: _Parts, reasons: Mapping[str, Sequence[Mapping[str, Any]] | str], approve: float) -> None:
    words = parts.words
    tables = [_titled(isolated(model), _reason_table(words, found)) for model, found in reasons.items()]
    note = _note(words("reasons.note", share=words.percent(approve, 0)))
    parts.section(words("reasons"), note, grid("two", tables))


def _reason_table(words: Words, found: Sequence[Mapping[str, Any]] | str, *, mean: bool = True) -> Html:
    if isinstance(found, str):
        return paragraph(found)
    head = [words("reason"), words("reason.main"), words("reason.among", first=3)]
    rows: list[list[object]] = [
        [isolated(each["column"], _WIDEST), words.percent(each["main"]), words.percent(each["among"])]
        for each in found[:_MOST_REASONS]
    ]
    if mean:
        head.append(words("reason.mean"))
        rows = [[*row, _signed(each["mean"], 3)] for row, each in zip(rows, found, strict=False)]
    return table(head, rows, half=not mean)


# ---------------------------------------------------------------------------------------------------------- the columns


def _columns(
    parts: _Parts,
    bins: Sequence[Mapping[str, Any]],
    coefficients: Sequence[Mapping[str, Any]],
    importances: Sequence[Mapping[str, Any]],
    stability: Sequence[Mapping[str, Any]],
    left_out: Sequence[str],
    points: Sequence[Mapping[str, Any]],
    scale: Mapping[str, float] | None,
    *,
    host: bool,
) -> None:
    """Add a table of all columns, and the bins of the first ones."""
    grouped: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for row in bins:
        grouped.setdefault((str(row["party"]), row["column"]), []).append(row)
    known = {
        what: {(str(each["party"]), each["column"]): float(each["value"]) for each in entries}
        for what, entries in (("coefficient", coefficients), ("importance", importances), ("psi", stability))
    }
    keys = list(grouped) + [key for entries in known.values() for key in entries if key not in grouped]
    keys = list(dict.fromkeys(keys))
    if keys:
        _overview(parts, keys, grouped, known, left_out, host=host)
    if grouped or points:
        _bins(parts, grouped, points, scale, host=host)


def _party(words: Words, party: str) -> Html:
    return isolated(words.known(f"party.{party}", party))


def _overview(
    parts: _Parts,
    keys: Sequence[tuple[str, Any]],
    grouped: Mapping[tuple[str, Any], Sequence[Mapping[str, Any]]],
    known: Mapping[str, Mapping[tuple[str, Any], float]],
    left_out: Sequence[str],
    *,
    host: bool,
) -> None:
    words = parts.words
    values = {key: rows[0]["iv"] for key, rows in grouped.items()}
    found = [v for v in values.values() if v is not None]
    most = max(found, default=0.0)
    ordered = sorted(keys, key=lambda key: (key[1] is None, -(values.get(key) or 0.0)))
    single = [key for key in ordered if len(grouped.get(key, ())) == 1]
    out = [key for key in ordered if key[1] in left_out and key[0] != "host"]
    several = len({party for party, _ in keys}) > 1
    cells: list[tuple[str, Callable[[tuple[str, Any]], object]]] = []
    if several:
        cells.append((words("party"), lambda key: _party(words, key[0])))
    cells.append((words("bins"), lambda key: f"{len(grouped[key])}" if key in grouped else ""))
    if found:
        cells.append((words("iv"), lambda key: "" if values.get(key) is None else f"{values[key]:.3f}"))
        cells.append(("", lambda key: bar((values.get(key) or 0.0) / most, 90) if most else ""))
    for what, form in (("importance", words.percent), ("coefficient", "{:+.3f}".format), ("psi", "{:.4f}".format)):
        if known[what]:
            label = words("importance.host" if host and what == "importance" else what)
            cells.append((label, _reader(known[what], form)))
    marks = {key: words("one_bin") for key in single} | {key: words("left_out") for key in out}
    if any(key in marks for key in ordered[:_MOST_COLUMNS]):
        cells.append((words("remark"), lambda key: pill(marks[key]) if key in marks else ""))
    head = [words("column"), *(label for label, _ in cells)]

    def named(key: tuple[str, Any]) -> Html:
        party, column = key
        return isolated(
            words("all_columns", party=words.known(f"party.{party}", party)) if column is None else column, _WIDEST
        )

    rows = [[named(key), *(read(key) for _, read in cells)] for key in ordered[:_MOST_COLUMNS]]
    left = [k for k, label in enumerate(head) if label in (words("column"), words("remark"))]
    short = [k for k, label in enumerate(head) if label in (words("party"), "")]
    said = [_note(words("columns.host" if host and not found else "columns.note"))]
    if len(ordered) > _MOST_COLUMNS:
        said.append(_note(words("columns.more", shown=_MOST_COLUMNS, all=len(ordered))))
    line = words("one_bin.none")
    if single:
        comma = text(words("comma"))
        names = comma.join(isolated(key[1], _WIDEST) for key in single[:_MOST_COLUMNS])
        line = _filled(words("one_bin.list", names="\0"), Html(names))
    said.append(_note(line))
    parts.section(words("columns"), said[0], table(head, rows, left=left, short=short), *said[1:])


def _reader(values: Mapping[tuple[str, Any], float], form: Callable[[float], str]) -> Callable[[tuple[str, Any]], str]:
    return lambda key: form(values[key]) if key in values else ""


def _bins(
    parts: _Parts,
    grouped: Mapping[tuple[str, Any], Sequence[Mapping[str, Any]]],
    points: Sequence[Mapping[str, Any]],
    scale: Mapping[str, float] | None,
    *,
    host: bool,
) -> None:
    """Add a small table for each column: its bins, and their points if there is a scorecard."""
    words = parts.words
    worth: dict[tuple[str, Any], dict[str, float]] = {}
    base = None
    for row in points:
        if row["column"] == "base" and row["bin"] == "every customer":
            base = float(row["points"])
        else:
            worth.setdefault((str(row["party"]), row["column"]), {})[str(row["bin"])] = float(row["points"])
    keys = list(dict.fromkeys([*(key for key in grouped if key in worth), *worth, *grouped]))
    weights = [row["woe"] for rows in grouped.values() for row in rows if row["woe"] is not None]
    most = max(map(abs, weights), default=0.0)
    minis = []
    used = 0
    for key in keys:
        rows = list(grouped.get(key, ()))
        known = bool(rows) and rows[0]["woe"] is not None
        counted = bool(rows) and rows[0]["events"] is not None
        values = worth.get(key)
        texts = [str(row["bin"]) for row in rows] or list(values or ())
        used += 4 + sum(-(-max(1, min(width(each), LONGEST)) // _ONE_LINE) for each in texts[:_MOST_BINS])
        if used > _MOST_LINES:
            break
        lines: list[list[object]] = []
        for k, each in enumerate(texts[:_MOST_BINS]):
            line: list[object] = [_bin_name(words, each)]
            if rows:
                line.append(f"{rows[k]['rows']:,}")
            if counted:
                line.append(words.percent(rows[k]["events"] / rows[k]["rows"]) if rows[k]["rows"] else "")
            if known:
                line.append(_signed(rows[k]["woe"], 2))
                line += [] if worth else [scale_bar(float(rows[k]["woe"]), most)]
            if values is not None:
                line.append(_signed(values[each], 1) if each in values else "")
            lines.append(line)
        if len(texts) > _MOST_BINS:
            lines.append([words("bin.further", count=len(texts) - _MOST_BINS), *[""] * (len(lines[0]) - 1)])
        head = [words("bin"), *([words("rows")] if rows else []), *([words("rate")] if counted else [])]
        head += [words("woe"), *([] if worth else [""])] if known else []
        head += [words("points")] if values is not None else []
        about = [words.known(f"party.{key[0]}", key[0])]
        if rows and rows[0]["iv"] is not None:
            about.append(words("iv.of", value=f"{rows[0]['iv']:.3f}"))
        inner = table(head, lines, bare=True)
        minis.append(
            f'<div class="mini"><b>{isolated(key[1])}</b><span>{isolated(" · ".join(about))}</span>{inner}</div>'
        )
    said = [_note(words("bins.note.revealed" if host and weights else "bins.note.host" if host else "bins.note"))]
    if scale is not None and points:
        told = {"score": scale["base_score"], "odds": scale["base_odds"], "pdo": scale["points_to_double"]}
        scaled = [words("scale", **{key: f"{value:g}" for key, value in told.items()})]
        if "calibrated_base_odds" in scale:
            told |= {"odds": scale["calibrated_base_odds"], "pdo": scale["calibrated_points_to_double"]}
            scaled.append(words("scale.calibrated", **{key: _rounded(value) for key, value in told.items()}))
        said.append(paragraph("".join(scaled)))
    if base is not None:
        said.append(paragraph(words("base", value=f"{base:.1f}")))
    if not points and not host:
        said.append(paragraph(words("scale.secret")))
    if len(keys) > len(minis):
        said.append(_note(words("bins.more", shown=len(minis), all=len(keys))))
    title = words("bins.title.points" if points else "bins.title")
    parts.section(title, *said, Html(grid("minis", minis)))


def _bin_name(words: Words, said: str) -> Html:
    shown = _bin_text(words, said)
    if not _NUMERIC.fullmatch(shown):  # a category, which may be of wide letters
        return unbroken(shown) if width(shown) <= _SHORT and shown.isprintable() else isolated(shown)
    if len(shown) > _ONE_LINE:
        ends = _NUMBER.findall(shown)
        brief = [_brief(end) for end in ends]
        if len(set(brief)) == len(brief):  # else the bin would seem to be empty
            given = iter(brief)
            shown = _NUMBER.sub(lambda _: next(given), shown)
    return unbroken(shown) if len(shown) <= _ONE_LINE else isolated(shown)


def _rounded(value: float) -> str:
    """Return a number with three digits, or all before the point, and no exponent up to a million millions."""
    return f"{value:,.0f}" if 100 <= value < 1e12 else f"{value:.3g}"


def _brief(number: str) -> str:
    """Return a number with four digits; a large one stays whole, since a date or an amount means all of its digits."""
    return number if 1e4 <= abs(float(number)) < 1e15 else f"{float(number):.4g}"


def _bin_text(words: Words, said: str) -> str:
    """Return the description of a bin in the language of the report; the categories in it stay as they are."""
    if words.lang == "en":
        return said
    number = said.removeprefix("bin ")
    if number != said and number.isdecimal():
        return words("bin.number", number=number)
    *before, last = said.split(", ")
    endings = {"others": words("bin.others"), "missing": words("bin.missing")}
    if last == "missing" and before and before[-1] == "others":
        before[-1] = endings["others"]
    return ", ".join([*before, endings.get(last, last)])


# -------------------------------------------------------------------------------------------------------------- the run


def _value(words: Words, value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return words("yes" if value else "no")
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_value(words, each) for each in value)
    return str(value)


def _pairs(words: Words, pairs: Mapping[str, Any], across: int = 1) -> Html:
    """Return a table of pairs, `across` of them in a line."""
    cells = [[str(label), _value(words, value)] for label, value in pairs.items()]
    down = -(-len(cells) // across)
    lines = [[each for part in cells[k::down] for each in part] for k in range(down)]
    return table([], lines, left=range(2 * across))


def _ended(
    parts: _Parts,
    facts: Mapping[str, Any] | None,
    settings: Mapping[str, Any] | None,
    shown: Sequence[Mapping[str, Any]] | None,
    warnings: Sequence[str] | None,
    evidence: Mapping[str, Any] | None,
    not_done: Sequence[str],
    learned_by_peer: Mapping[str, int] | None,
) -> None:
    """Add the run, what each side has seen, the evidence, and what was not done."""
    words = parts.words
    if facts or settings:
        told = (("facts", facts, 1), ("settings", settings, 2))
        blocks = [f"<div><h3>{text(words(k))}</h3>{_pairs(words, pairs, n)}</div>" for k, pairs, n in told if pairs]
        parts.section(words("run"), grid("two", blocks))
    if shown is not None:
        if shown:
            columns = ("sums", "bits", "values")
            rows: list[list[object]] = [
                [words.known(f"task.{each['task']}", str(each["task"])), *(f"{int(each[key]):,}" for key in columns)]
                for each in shown
            ]
            rows.append([words("total"), *(f"{sum(int(each[key]) for each in shown):,}" for key in columns)])
            head = [words("task"), words("sums"), words("bits.learned"), words("values")]
            more = []
            if learned_by_peer is not None:
                numbers = {what: f"{int(learned_by_peer[what]):,}" for what in ("sums", "bits")}
                more.append(paragraph(words("shown.peer", **numbers)))
            parts.section(words("shown"), _note(words("shown.note")), table(head, rows, half=True), *more)
        else:
            parts.section(words("shown"), paragraph(words("shown.none")))
    if warnings is not None:
        lines = "".join(f"<li>{shortened(each, _LONGEST_WARNING)}</li>" for each in warnings[:_MOST_WARNINGS])
        if len(warnings) > _MOST_WARNINGS:
            lines += f"<li>{text(words('warnings.more', count=len(warnings) - _MOST_WARNINGS))}</li>"
        listed = [_note(words("warnings.note")), Html(f"<ul>{lines}</ul>")]
        parts.section(words("warnings"), *(listed if warnings else [paragraph(words("warnings.none"))]))
    if evidence:
        parts.section(words("evidence"), _pairs(words, evidence), _note(words("evidence.how")))
    lines = "".join(f"<li>{text(words(key))}</li>" for key in not_done)
    parts.section(words("not_done"), Html(f"<ul>{lines}</ul>"))
    statistics = words("statistics", points=_POINTS) if "not.host" not in not_done else words("statistics.host")
    made = text(f"{words('made', version=__version__)}{statistics}")
    parts.out.append(Html(f"<footer><p>{made}</p></footer>"))
