"""Trains logistic regressions of two parties: all values stay shared during the training."""

from __future__ import annotations

from .estimator import LogisticRegression

__all__ = ["LogisticRegression"]
