"""What a run needs of a policy: the one place that lists its uses, for checks beforehand and for policies to write."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...tasks import BINNING, BOOSTING, BOOSTING_SCORES, INTERSECT, LOGISTIC, LOGISTIC_SCORES
from ..logistic.comparing import most_learned
from ..logistic.config import held_back, plan_steps
from ..logistic.score import learned_bits
from ..tables.profile import ColumnProfile
from .config import Model

__all__ = ["Table", "most_cuts", "purposes_of", "uses_of"]

_LEAF = 50  # min_samples_leaf of GradientBoosting, which a run leaves at its default
_BOUND_BITS = 8  # of the bound of the curvature, which the host's half shows


@dataclass(frozen=True)
class Table:
    """What is known of a party's table before a run.

    Attributes
    ----------
    names : sequence of str
        Its columns, without id and label.
    rows : int
        Its rows.
    common : int
        The rows in common, as they may be.
    events : int
        Events among the labels in common, at the guest.
    cuts : int
        The most cuts of all columns together.
    """

    names: Sequence[str]
    rows: int
    common: int
    events: int = 0
    cuts: int = 0


def most_cuts(profile: Sequence[ColumnProfile], model: Model) -> int:
    """Return the most cuts that trees have in these columns: twice as many, and one, where values are missing.

    Examples
    --------
    >>> import numpy as np
    >>> most_cuts([ColumnProfile.of("a", np.arange(3.0)), ColumnProfile.of("b", np.arange(90.0))], Model())
    33
    """
    total = 0
    for each in profile:
        cuts = max(0, min(each.distinct, model.tree_bins) - 1)
        total += 2 * cuts + 1 if each.missing else cuts
    return total


def purposes_of(model: Model, *, test: bool = True) -> list[str]:
    """Return the purposes of the uses of a run, one for each use, in order.

    Parameters
    ----------
    model : Model
        The settings.
    test : bool
        Whether rows are held back for the test.

    Examples
    --------
    >>> len(purposes_of(Model())), len(purposes_of(Model(trees=0))), len(purposes_of(Model(epochs=0)))
    (7, 5, 4)
    """
    found = [INTERSECT.purpose, BINNING.purpose]
    if model.epochs != 0:
        found += [LOGISTIC.purpose, LOGISTIC_SCORES.purpose, *[LOGISTIC_SCORES.purpose] * test]
    if model.trees != 0:
        found += [BOOSTING.purpose, *[BOOSTING_SCORES.purpose] * test]
    return found


def uses_of(model: Model, role: str, table: Table) -> list[dict[str, Any]]:
    """Return the uses of this party's data that a run asks of its policy, as :meth:`Guard.authorise` takes them.

    Parameters
    ----------
    model : Model
        The settings.
    role : {"guest", "host"}
        Whose policy.
    table : Table
        The party's table.

    Returns
    -------
    list of dict
        In order, without `peer` and `task`. Sizes that only a run knows are estimates from ``table.common``.

    Examples
    --------
    >>> uses = uses_of(Model(), "host", Table(["PAY_0"], rows=900, common=800, cuts=31))
    >>> [use["purpose"] for use in uses] == purposes_of(Model())
    True
    """
    guest, names = role == "guest", tuple(table.names)
    common = min(table.common, table.rows)
    test = round(common * model.test_share)
    train = max(1, common - test)
    held = held_back(train) if model.epochs != 0 else 0
    fitted = max(1, train - held)
    groups = {"min_rows": model.min_rows, "min_events": model.min_events, "min_others": model.min_others}
    opens = [name for name in model.reveal if name == "woe"]
    shown: dict[str, Any] = {"reveal": tuple(opens)} if opens else {}
    meeting = {"purpose": INTERSECT.purpose, "columns": ("id",), "rows": table.rows}
    meeting["min_intersection"] = model.min_intersection
    found: list[dict[str, Any]] = [meeting if guest else {**meeting, "asked": common}]
    binning: dict[str, Any] = {"purpose": BINNING.purpose, "rows": fitted, **groups, **shown}
    if guest:
        events = math.ceil(table.events * fitted / max(1, common))
        found.append({**binning, "columns": ("label",), "total_events": events, "sums": 2 * fitted if opens else 0})
    else:
        found.append({**binning, "columns": names, "bins": model.max_bins})
    if model.epochs != 0:
        epochs = model.epochs or plan_steps(fitted)[1]
        bits = max(1, most_learned(not guest) * (epochs - 1)) + (0 if guest else _BOUND_BITS)
        later = tuple(name for name in model.reveal if name != "woe")
        exact = "scores" in later
        use: dict[str, Any] = {"purpose": LOGISTIC.purpose, "columns": names, "rows": train, "epochs": epochs}
        found.append({**use, "bits": bits, **({"reveal": later} if later else {})})
        for what, rows in (("held back", held), ("test", test)):
            scores = {"purpose": LOGISTIC_SCORES.purpose, "columns": names, "rows": rows, "model": _mark(what)}
            found.append({**scores, "bits": rows * learned_bits(exact), **({"reveal": ("scores",)} if exact else {})})
    if model.trees != 0:
        trees, depth = model.trees, model.depth
        tree: dict[str, Any] = {"purpose": BOOSTING.purpose, "columns": names, "rows": train, **groups}
        tree |= {"trees": trees, "depth": depth, "min_rows": _LEAF if guest else model.min_bucket_rows}
        found.append({**tree, **({"sums": 0} if guest else {"cuts": table.cuts})})
        bits = trees * (depth * test + (1 << depth) - 1)
        scores = {"purpose": BOOSTING_SCORES.purpose, "columns": names, "rows": test, "model": _mark("trees")}
        found.append({**scores, "bits": bits})
    return found


def _mark(what: str) -> bytes:
    """Return what stands for a model that does not exist yet."""
    return hashlib.sha256(what.encode()).digest()
