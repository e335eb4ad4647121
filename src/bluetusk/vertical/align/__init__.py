"""Aligns rows: finds those that all parties have, in one order for all, by private set intersection."""

from __future__ import annotations

from .estimator import intersect

__all__ = ["intersect"]
