"""How good a score is, how stable it is, and how it becomes points: AUC, KS, PSI, calibration, scorecards."""

from __future__ import annotations

from .metrics import Interval, auc, auc_interval, calibration, ks, ks_interval, psi, roc
from .scorecard import Scorecard, scorecard

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
