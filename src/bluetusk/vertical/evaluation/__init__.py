"""How good a score is, how stable, and how it becomes points: AUC, KS, PSI, scorecards."""

from __future__ import annotations

from .metrics import Interval, Scorecard, auc, auc_interval, calibration, ks, ks_interval, psi, roc, scorecard

__all__ = [
    "Interval",
    "Scorecard",
    "auc",
    "auc_interval",
    "calibration",
    "ks",
    "ks_interval",
    "psi",
    "roc",
    "scorecard",
]
