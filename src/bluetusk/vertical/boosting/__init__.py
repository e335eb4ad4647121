"""Boosts decision trees over parties that hold different columns of the same rows (SecureBoost)."""

from __future__ import annotations

from .estimator import GradientBoosting

__all__ = ["GradientBoosting"]
