"""Evaluates scores (AUC, KS, calibration) and their stability, and turns them into points (scorecards)."""

from __future__ import annotations

from .metrics import Interval, auc, auc_interval, calibration, ks, ks_interval, psi, roc, stability_index
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
    "stability_index",
]
