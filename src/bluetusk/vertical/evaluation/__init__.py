"""Evaluates scores (AUC, KS, calibration), decisions (cut-offs, swap sets), stability (PSI); makes scorecards."""

from __future__ import annotations

from .decisions import approval_curve, cutoffs, lift, reasons, swap_set
from .metrics import Interval, auc, auc_gain, auc_interval, calibration, ks, ks_interval, psi, roc, stability_index
from .scorecard import Scorecard, scorecard

__all__ = [
    "Interval",
    "Scorecard",
    "approval_curve",
    "auc",
    "auc_gain",
    "auc_interval",
    "calibration",
    "cutoffs",
    "ks",
    "ks_interval",
    "lift",
    "psi",
    "reasons",
    "roc",
    "scorecard",
    "stability_index",
    "swap_set",
]
