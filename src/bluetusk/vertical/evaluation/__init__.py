"""Evaluates scores (AUC, KS, calibration), their stability (PSI), and turns them into points (scorecards)."""

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
