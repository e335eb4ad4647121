"""Logistic regression of two parties: everything stays shared while it is trained."""

from __future__ import annotations

from .estimator import LogisticRegression

__all__ = ["LogisticRegression"]
