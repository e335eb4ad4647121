"""Bins columns by weight of evidence over two or more parties: labels at the guest, columns everywhere."""

from __future__ import annotations

from .estimator import WoEBinning

__all__ = ["WoEBinning"]
