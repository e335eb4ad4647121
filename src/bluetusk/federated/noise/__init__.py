"""Noise for differential privacy: discrete Gaussian and Skellam samples, exact, and what they cost in privacy."""

from __future__ import annotations

from .mechanism import discrete_gaussian, epsilon, event, skellam

__all__ = ["discrete_gaussian", "epsilon", "event", "skellam"]
