"""Formats the demo's figures as tables for people and as one object for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..vertical.evaluation.metrics import with_interval
from .channel import Usage
from .evaluate import Comparison
from .masked import plan_for
from .methods import Cost
from .private import DELTA, epsilon, sensitivity
from .runner import Outcome, Plan
from .views import views

__all__ = ["Table", "as_json", "methods", "show", "size", "tables"]

_PHASES = ("start", "keys", "bins", "training")


@dataclass(frozen=True)
class Table:
    """A table to print.

    Attributes
    ----------
    title : str
        The text above the table.
    header : list of str
        One for each column.
    rows : list of list of str
        The cells. The first column is aligned left, the others right, unless `text`.
    text : bool
        Whether the cells are sentences.
    note : str
        The text below the table.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    text: bool = False
    note: str = ""


def size(n: float) -> str:
    """Return a number of bytes as text, such as "4.9 MB"."""
    for unit in ("B", "kB"):
        if n < 999.5:
            return f"{n:.0f} {unit}"
        n /= 1000.0
    return f"{n:.1f} MB" if n < 99.5 else f"{n:.0f} MB"


def _by_role(outcome: Outcome) -> dict[str, dict[str, Usage]]:
    """Return the resources that each role used, the banks added up."""
    roles: dict[str, dict[str, Usage]] = {name: {} for name in ("key holder", "aggregator") if name in outcome.usage}
    roles["banks together"] = {}
    for name, phases in outcome.usage.items():
        role = roles[name if name in roles else "banks together"]
        for phase, used in phases.items():
            into = role.setdefault(phase, Usage())
            into.seconds += used.seconds
            into.sent += used.sent
            into.received += used.received
    return roles


def tables(plan: Plan, outcome: Outcome, comparison: Comparison, seconds: float) -> list[Table]:
    """Return all tables of the demo.

    Parameters
    ----------
    plan : Plan
        The run's parameters.
    outcome : Outcome
        The run's result.
    comparison : Comparison
        Its comparison with other models.
    seconds : float
        Wall-clock time of the whole run.

    Returns
    -------
    list of Table
    """
    return [
        _merit(outcome, comparison),
        _exactness(outcome, comparison),
        *([_privacy(plan, outcome, comparison)] if outcome.noise else []),
        _cost(plan, outcome, seconds),
        _views(plan, outcome),
    ]


def _merit(outcome: Outcome, comparison: Comparison) -> Table:
    c, each = comparison, comparison.intervals
    rows = [
        [
            name + ("" if name in outcome.banks else " (lost)"),
            f"{c.train[i]} + {c.test[i]}",
            f"{100 * c.risk[i]:.1f} %",
            with_interval(c.alone_own[i], each["alone_own"][i], 2),
            with_interval(c.federated_own[i], each["federated_own"][i], 2),
            with_interval(c.alone[i], each["alone"][i]),
            f"{c.gain[i]:+.4f}",
        ]
        for i, name in enumerate(c.names)
    ]
    trained = sum(rows for name, rows in zip(c.names, c.train, strict=True) if name in outcome.banks)
    everybody = [f"{trained} + {sum(c.test)}", ""]  # the model of the banks that stayed, on all test customers
    rows.append(["federated", *everybody, "", "", with_interval(c.federated, c.intervals["federated"]), ""])
    rows.append(["pooled plaintext", *everybody, "", "", with_interval(c.pooled, c.intervals["pooled"]), ""])
    header = ["bank", "train + test", "defaults", "alone: own", "federated: own", "alone: all", "gain: all"]
    return Table(
        "AUC on test customers that no model has seen, with 95 % intervals",
        header,
        rows,
        note="own: the bank's own test customers; all: everybody's. Gain: federated less alone, on the same customers.",
    )


def _exactness(outcome: Outcome, comparison: Comparison) -> Table:
    c = comparison
    rows = [
        ["largest difference of a coefficient", f"{c.difference:.1e}"],
        ["difference of the AUC", f"{abs(c.federated - c.pooled):.1e}"],
        ["bins as from the pooled table", "yes" if c.bins_equal else "no"],
        ["banks and rows in the model", f"{len(outcome.banks)} and {outcome.weight or 'a number that no role knows'}"],
        [f"sums {'decrypted' if outcome.fingerprint else 'unmasked'}", f"1 of counts, {outcome.rounds} of gradients"],
    ]
    lost = [f"{name} {why}" for name, why in sorted(outcome.lost.items())]
    note = ""
    if lost:
        note = (
            f"Lost: {'; '.join(lost)}. The round ended with the rest and the training began anew from there: this is "
            f"the exact model of the remaining {len(outcome.banks)} banks, compared with scikit-learn on their pooled "
            "rows."
        )
    if outcome.noise:
        note = (
            (f"Lost: {'; '.join(lost)}. The training went on with the rest. " if lost else "")
            + "Noise, and a training that ends after a few steps, keep the model from the pooled optimum: every sum is "
            "exact, its noisy terms are not."
        )
    return Table("Federated against pooled plaintext (scikit-learn)", ["", "value"], rows, note=note)


def _privacy(plan: Plan, outcome: Outcome, comparison: Comparison) -> Table:
    sigma = outcome.noise * sensitivity("counts")  # in rows; the same for residuals, in units of 1
    agreed = plan_for(plan.banks)
    honest = agreed.threshold - agreed.bad
    rows = [
        ["epsilon, delta", f"{epsilon(outcome.noise):.3g}, {DELTA:g}"],
        ["for", "one customer's row, there or not"],
        ["noise in a sum, standard deviation at least", f"{sigma:.1f} customers in each count and gradient"],
        ["of which each bank adds", f"{sigma / honest**0.5:.1f}, for {honest} honest banks"],
        ["loss of AUC, on the same bins", f"{comparison.pooled - comparison.federated:.4f}"],
    ]
    return Table(
        "Differential privacy: Skellam noise, added by the banks before they mask",
        ["", "value"],
        rows,
        note="A row moves 24 values of a sum by at most 1 each, as its residual is at most 1: nothing is clipped. "
        "Noise moves the bins too: what it costs in all shows beside the AUC of a method with exact sums.",
    )


def _cost(plan: Plan, outcome: Outcome, seconds: float) -> Table:
    def cell(used: Usage | None) -> str:
        return "" if used is None else f"{used.seconds:.2f} s, {size(used.sent)}"

    rows = []
    for role, phases in _by_role(outcome).items():
        whole = Usage(sum(u.seconds for u in phases.values()), sum(u.sent for u in phases.values()))
        rows.append([role, *(cell(phases.get(phase)) for phase in _PHASES), cell(whole)])
    wall = outcome.seconds
    rows.append(["wall clock", *(f"{wall[p]:.2f} s" if p in wall else "" for p in _PHASES), f"{seconds:.2f} s"])
    return Table(
        "Processor seconds and bytes sent, "
        + (f"Paillier key of {plan.key_size} bits" if outcome.fingerprint else "secure aggregation"),
        ["role", *_PHASES, "total"],
        rows,
        note="Start: Python, imports, reading the file"
        + ("; on the wall clock it holds the keys too" if outcome.fingerprint else "")
        + ". The total on the wall clock includes the comparison with scikit-learn."
        + (" What lost banks used is not counted." if outcome.lost else ""),
    )


def _views(plan: Plan, outcome: Outcome) -> Table:
    rows, note = views(plan, outcome)
    return Table("What each role saw, and what not", ["role", "saw", "did not see"], rows, text=True, note=note)


def methods(costs: Sequence[Cost]) -> Table:
    """Return the table that compares ways of summing.

    Parameters
    ----------
    costs : sequence of Cost
        One entry for each run.

    Returns
    -------
    Table

    Examples
    --------
    >>> methods([Cost("secagg", 68, 217_000, 4_900_000, 9.5, 6.25, 0.78, (0.76, 0.8), None)]).rows[0][:4]
    ['secagg', '68', '217 kB', '4.9 MB']
    """
    rows = [
        [
            each.method,
            str(each.sums),
            size(each.bank_bytes),
            size(each.bytes),
            f"{each.cpu_seconds:.2f} s",
            f"{each.wall_seconds:.2f} s",
            with_interval(each.auc, each.auc_interval),
            "none" if each.epsilon is None else f"{each.epsilon:.3g}",
        ]
        for each in costs
    ]
    header = ["method", "gradients", "a bank sends", "all send", "processor", "clock", "AUC (95 %)", "epsilon"]
    return Table(
        "The methods beside each other, each as it ran just now",
        header,
        rows,
        note="Without starting the processes and reading the file. Processor: all roles together, with the making of "
        "Paillier's key. paillier needs a key holder, the others none. "
        f"Epsilon: what a customer's row may show, at a delta of {DELTA:g}; none: sums are exact.",
    )


def as_json(
    plan: Plan, outcome: Outcome, comparison: Comparison, seconds: float, costs: Sequence[Cost]
) -> dict[str, Any]:
    """Return the same figures for programs, unrounded.

    Parameters
    ----------
    plan, outcome, comparison, seconds
        As in :func:`tables`.
    costs : sequence of Cost
        As in :func:`methods`.

    Returns
    -------
    dict
        For ``json.dumps``. ``auc`` holds ``alone`` (on everybody's test customers, by bank), ``alone_own``,
        ``federated_own``, ``federated`` and ``pooled``, and ``intervals`` the ends of 95 % intervals of each.
        ``key_size`` and ``key_fingerprint`` are null without a key holder, ``privacy`` is null without noise, ``rows``
        is 0 with it.
    """
    c = comparison
    return {
        "seed": plan.seed,
        "method": plan.method,
        "key_size": plan.key_size if outcome.fingerprint else None,
        "key_fingerprint": outcome.fingerprint or None,
        "banks": [
            {
                "name": name,
                "train": c.train[i],
                "test": c.test[i],
                "defaults": c.risk[i],
                "lost": outcome.lost.get(name),
            }
            for i, name in enumerate(c.names)
        ],
        "auc": {
            "alone": c.alone,
            "alone_own": c.alone_own,
            "federated_own": c.federated_own,
            "federated": c.federated,
            "pooled": c.pooled,
            "intervals": c.intervals,
        },
        "auc_difference": abs(c.federated - c.pooled),
        "coefficient_difference": c.difference,
        "bins_equal": c.bins_equal,
        "columns": outcome.bins.size,
        "rows": outcome.weight,
        "rounds": outcome.rounds,
        "restarts": outcome.starts[1:],
        "privacy": {
            "epsilon": epsilon(outcome.noise),
            "delta": DELTA,
            "unit": "one customer's row, added or removed",
            "noise_multiplier": outcome.noise,
        }
        if outcome.noise
        else None,
        "comparison": [asdict(each) for each in costs],
        "usage": {
            role: {
                phase: {"cpu_seconds": used.seconds, "bytes_sent": used.sent, "bytes_received": used.received}
                for phase, used in phases.items()
            }
            for role, phases in _by_role(outcome).items()
        },
        "wall_seconds": {**{name: outcome.seconds[name] for name in outcome.seconds if name}, "total": seconds},
        "views": {row[0]: {"saw": row[1], "did_not_see": row[2]} for row in _views(plan, outcome).rows},
    }


def show(items: Sequence[Table]) -> None:
    """Print tables on standard output, with rich where it is installed."""
    try:
        from rich.console import Console
        from rich.padding import Padding
        from rich.table import Table as Rich
    except ImportError:
        sys.stdout.write("\n".join(map(_plain, items)))
        return
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    for item in items:
        table = Rich(title=item.title, title_justify="left", title_style="bold", show_lines=item.text)
        for column, name in enumerate(item.header):
            table.add_column(name, justify="left" if item.text or not column else "right")
        for row in item.rows:
            table.add_row(*row)
        console.print(table)
        if item.note:
            console.print(Padding(item.note, (0, 1)), style="dim")
        console.print()


def _plain(item: Table) -> str:
    """Return a table as plain text."""
    lines = [item.title, "=" * len(item.title)]
    if item.text:
        for row in item.rows:
            lines += [row[0], *(f"  {name}: {cell}" for name, cell in zip(item.header[1:], row[1:], strict=True))]
    else:
        grid = [item.header, *item.rows]
        widths = [max(len(row[column]) for row in grid) for column in range(len(item.header))]
        for row in grid:
            cells = [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
            lines.append("  ".join(cells).rstrip())
    if item.note:
        lines.append(item.note)
    return "\n".join(lines) + "\n"
