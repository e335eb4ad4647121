"""Writes a joint model's report as one HTML file: curves, tables, scorecard, evidence; no script, nothing external."""

from __future__ import annotations

import html
import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..._version import __version__
from ...storage import files
from ..tables.columns import as_labels, as_scores
from .metrics import auc, auc_interval, ks, ks_interval, psi, rank_table, with_interval

__all__ = ["write_report"]

_MOST_BARS = 30
_STYLE = """
:root { --ink: #2f3a45; --soft: #66717c; --line: #dde2e7; --main: #0b6e4f; --event: #c0392b; --ground: #f6f8f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 27px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 38px 0 10px; }
p.sub { color: var(--soft); margin: 0 0 20px; } p { max-width: 75ch; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; }
.tile, figure, .box { background: #fff; border: 1px solid var(--line); border-radius: 8px; }
.tile { padding: 12px 14px; } .tile b { display: block; font-size: 24px; font-weight: 650; line-height: 1.25; }
.tile span { color: var(--soft); font-size: 13px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
figure { margin: 0; padding: 12px 14px 6px; } figure.wide { max-width: 780px; }
figcaption { font-weight: 600; } figcaption small { font-weight: 400; color: var(--soft); display: block; }
img { width: 100%; height: auto; display: block; }
.box { overflow-x: auto; padding: 2px 14px 6px; } table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 5px 10px 5px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } tr:last-child td { border-bottom: 0; }
.text { text-align: left; white-space: normal; } td { font-variant-numeric: tabular-nums; }
details { background: #fff; border: 1px solid var(--line); border-radius: 8px; margin: 6px 0; padding: 0 14px; }
summary { cursor: pointer; padding: 8px 0; } summary b { margin-right: 8px; } summary span { color: var(--soft); }
.bar { display: inline-block; height: 11px; border-radius: 2px; vertical-align: -1px; }
details > div { overflow-x: auto; } .box, details { max-width: 780px; }
.scale { width: min(160px, 20vw); position: relative; height: 14px; display: inline-block; border-left: 0; }
.scale i { position: absolute; top: 1px; height: 12px; border-radius: 2px; }
.scale::after { content: ""; position: absolute; left: 50%; top: -2px; bottom: -2px; width: 1px; background: #b9c1c9; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
@media print { body { background: #fff; } main { padding: 0; } figure, .tile, details { break-inside: avoid; } }
"""


def write_report(
    path: str | os.PathLike[str],
    y: ArrayLike,
    models: Mapping[str, ArrayLike],
    *,
    title: str = "Joint credit model",
    subtitle: str = "",
    reference: ArrayLike | None = None,
    bins: Sequence[Mapping[str, Any]] = (),
    coefficients: Sequence[Mapping[str, Any]] = (),
    importances: Sequence[Mapping[str, Any]] = (),
    points: Sequence[Mapping[str, Any]] = (),
    facts: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write a report that opens in any browser, without a network.

    Parameters
    ----------
    path : path-like
        The HTML file; an existing one is replaced. Only its owner may read it (mode 0600): it reveals much about the
        customers.
    y : array_like of shape (n,)
        Labels of the test rows, 0 and 1.
    models : mapping of str to array_like of shape (n,)
        Predicted probabilities on these rows by model; the first is the joint model, others are compared with it.
    title, subtitle : str
        Title and subtitle of the report.
    reference : array_like, optional
        The joint model's probabilities at training, for the stability index.
    bins : sequence of mapping, optional
        From :meth:`WoEBinning.table`; at a host without weights of evidence the rows of each bin alone are shown.
    coefficients, importances : sequence of mapping, optional
        Each with the keys party, column, value; leave out columns whose value this party does not know.
    points : sequence of mapping, optional
        From :meth:`Scorecard.table`, of one party or of several.
    facts : mapping of str to value, optional
        Further facts of the run: parties, rows, key size, seconds, bytes.
    evidence : mapping of str to value, optional
        Facts that the log proves: number of records, whether it verified, the signed heads.

    Raises
    ------
    ValueError
        If `models` is empty, a score is not between 0 and 1, the lengths differ, or the labels are not both 0 and 1.
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
    if not models:
        raise ValueError("models is empty: give the joint model's probabilities")
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError("the report needs matplotlib: pip install 'bluetusk[vertical]'", name="matplotlib")
    from . import charts as _charts

    scores = {name: as_scores(score, f"models[{name!r}]") for name, score in models.items()}
    first = next(iter(scores.values()))
    labels = as_labels(y, len(first), "scores")
    for name, score in scores.items():
        if score.shape != first.shape or not ((score >= 0) & (score <= 1)).all():
            raise ValueError(f"models[{name!r}] must hold {len(first)} probabilities between 0 and 1")
    before = None if reference is None else as_scores(reference, "reference")

    parts = [f"<h1>{_text(title)}</h1>", f'<p class="sub">{_text(subtitle)}</p>']
    parts.append(_tiles(labels, first, None if before is None else psi(before, first)))
    if len(scores) > 1:
        rows = [[name, *_with_intervals(labels, s), _brier(labels, s)] for name, s in scores.items()]
        parts += [
            "<h2>Models on the same test rows</h2>",
            _table(["model", "AUC (95 %)", "KS (95 %)", "Brier score"], rows),
        ]
    figures = (
        ("ROC", "share of events found against share of the good refused", _charts.roc_chart(labels, scores)),
        ("Kolmogorov-Smirnov", "where the two groups are farthest apart", _charts.ks_chart(labels, first)),
        ("Distribution", "of the score, by outcome", _charts.distribution_chart(labels, first, before)),
        ("Calibration", "does 20 % mean one in five?", _charts.calibration_chart(labels, first)),
    )
    parts += ["<h2>How well the score separates</h2>", '<div class="grid">']
    parts += [*(_figure(*each) for each in figures), "</div>"]
    parts += ["<h2>By tenths of the score, the riskiest first</h2>", _tenths(labels, first)]
    if bins:
        columns = {(row["party"], row["column"]): row["iv"] for row in bins if row["iv"] is not None}
        values = [{"party": party, "column": name, "value": iv} for (party, name), iv in columns.items()]
        said = ("Information values", values, "Information value", "0.02 weak, 0.1 medium, 0.3 strong")
        parts += [*(_largest(*said, _charts.bars) if values else []), *_bins(bins)]
    for what, entries, label in (
        ("Coefficients", coefficients, "coefficient"),
        ("Importance of the features", importances, "share of the gain"),
    ):
        if entries:
            parts += _largest(what, entries, label, "by party", _charts.bars)
    if points:
        parts += ["<h2>Scorecard</h2>", "<p>Points of each bin; a customer's score is the sum over the parties.</p>"]
        parts += _groups(points, lambda row: [row["bin"], f"{row['points']:+.1f}"], ["bin", "points"], lambda row: "")
    for heading, pairs in (("The run", facts), ("Evidence", evidence)):
        if pairs:
            rows = [[str(name), _value(value)] for name, value in pairs.items()]
            parts += [f"<h2>{heading}</h2>", _table(["", ""], rows, text=(0, 1), head=False)]
    parts.append(
        f"<footer>Made by bluetusk {__version__}. The file contains statistics of the test rows and of bins, but no "
        "single row; curves are drawn from at most 300 points.</footer>"
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>\n{chr(10).join(parts)}\n</main></body></html>\n"
    )
    files.write(path, page.encode(), overwrite=True)


def _text(value: object) -> str:
    return html.escape(str(value))


def _value(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)


def _brier(labels: np.ndarray[Any, Any], score: np.ndarray[Any, Any]) -> str:
    return f"{float(((score - labels) ** 2).mean()):.4f}"


def _with_intervals(labels: Any, score: Any) -> list[str]:
    """Return AUC and KS, each with its interval of 95 %."""
    return [
        with_interval(auc(labels, score), auc_interval(labels, score)),
        with_interval(ks(labels, score), ks_interval(labels, score)),
    ]


def _tiles(labels: Any, score: Any, moved: float | None) -> str:
    area, between = auc(labels, score), auc_interval(labels, score)
    apart = ks_interval(labels, score)
    tiles = [
        ("AUC", f"{area:.4f}", f"95 %: {between.low:.3f} to {between.high:.3f}"),
        ("Gini", f"{2 * area - 1:.4f}", f"95 %: {2 * between.low - 1:.3f} to {2 * between.high - 1:.3f}"),
        ("KS", f"{ks(labels, score):.4f}", f"95 %: {apart.low:.3f} to {apart.high:.3f}"),
        ("test rows", f"{len(labels):,}", f"{int(labels.sum()):,} events, {100 * labels.mean():.1f} %"),
    ]
    if moved is not None:
        verdict = "stable" if moved < 0.1 else "look closer" if moved < 0.25 else "shifted"
        tiles.insert(3, ("PSI", f"{moved:.4f}", f"training to test: {verdict}"))
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile">{a}<b>{b}</b><span>{_text(c)}</span></div>' for a, b, c in tiles)
        + "</div>"
    )


def _figure(caption: str, note: str, picture: str, *, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}><figcaption>{_text(caption)}<small>{_text(note)}</small></figcaption>{picture}</figure>"


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, text: tuple[int, ...] = (0,), head: bool = True
) -> str:
    """Return a table; cells are escaped, except those that begin with the tag of a bar made here."""

    def cell(tag: str, k: int, value: str) -> str:
        kind = ' class="text"' if k in text else ""
        return f"<{tag}{kind}>{value if value.startswith(_BAR) else _text(value)}</{tag}>"

    top = "<tr>" + "".join(cell("th", k, name) for k, name in enumerate(header)) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(cell("td", k, v) for k, v in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="box"><table>{top}{body}</table></div>'


_BAR = "<!--bar-->"


def _scale(value: float, most: float) -> str:
    """Return a bar that grows from the middle: right and red for more events, left and green for fewer."""
    share = 50.0 * min(abs(value) / most, 1.0) if most else 0.0
    left = 50.0 if value >= 0 else 50.0 - share
    color = "var(--event)" if value >= 0 else "var(--main)"
    return f'{_BAR}<span class="scale"><i style="left:{left:.1f}%;width:{share:.1f}%;background:{color}"></i></span>'


def _tenths(labels: Any, score: Any) -> str:
    rows = []
    table = rank_table(labels, score)
    most = max(row["rate"] for row in table) or 1.0
    for k, row in enumerate(table):
        width = 120 * row["rate"] / most
        bar = f'{_BAR}<span class="bar" style="width:{width:.0f}px;background:var(--event)"></span>'
        rows.append(
            [
                str(k + 1),
                f"{row['rows']:,.0f}",
                f"{row['events']:,.0f}",
                f"{100 * row['rate']:.1f} %",
                bar,
                f"{100 * row['caught']:.1f} %",
                f"{row['lowest']:.4f}",
            ]
        )
    header = ["tenth", "rows", "events", "rate", "", "events caught so far", "lowest score"]
    return _table(header, rows, text=(0, 4))


def _largest(heading: str, entries: Sequence[Mapping[str, Any]], label: str, note: str, bars: Any) -> list[str]:
    """Bars of the largest values of columns, under a heading."""
    shown = sorted(entries, key=lambda e: -abs(e["value"]))[:_MOST_BARS]
    names, parties = ([str(e[key]) for e in shown] for key in ("column", "party"))
    picture = bars(names, parties, [float(e["value"]) for e in shown], label.lower(), heading.lower())
    note = f"the {len(shown)} largest of {len(entries)}" if len(shown) < len(entries) else note
    return [f"<h2>{heading}</h2>", _figure(label, note, picture, wide=True)]


def _bins(bins: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each column's bins."""
    most = max((abs(float(row["woe"])) for row in bins if row["woe"] is not None), default=0.0)

    def line(row: Mapping[str, Any]) -> list[str]:
        events = "" if row["events"] is None else f"{row['events']:,}"
        rate = "" if row["events"] is None else f"{100 * row['events'] / row['rows']:.1f} %"
        known = row["woe"] is not None
        weight = [f"{row['woe']:+.3f}", _scale(float(row["woe"]), most)] if known else ["", ""]
        return [row["bin"], f"{row['rows']:,}", events, rate, *weight]

    return [
        "<h2>Bins</h2>",
        "<p>Weight of evidence: to the right (red) events are frequent. This party knows counts of other parties' "
        "bins, not their edges.</p>",
        *_groups(
            bins,
            line,
            ["bin", "rows", "events", "rate", "WoE", ""],
            lambda row: "" if row["iv"] is None else f"information value {row['iv']:.3f}",
        ),
    ]


def _groups(rows: Sequence[Mapping[str, Any]], line: Any, header: list[str], note: Any) -> list[str]:
    """Return one folded table for each column of each party; the first stands open."""
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((str(row["party"]), str(row["column"])), []).append(row)
    out = []
    for k, ((party, name), members) in enumerate(grouped.items()):
        about = " · ".join(filter(None, [party, f"{len(members)} bins", note(members[0])]))
        state = " open" if k == 0 else ""
        inner = _table(header, [line(row) for row in members], text=(0,)).replace('<div class="box">', "<div>")
        out.append(
            f"<details{state}><summary><b>{_text(name)}</b><span>{_text(about)}</span></summary>{inner}</details>"
        )
    return out
