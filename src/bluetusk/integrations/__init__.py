"""Adapters that replace a part of another framework with this package, with one import and one line.

Each imports the other package when it is used, not when it is loaded.

Examples
--------
>>> import bluetusk as bt
>>> bt.integrations.flower.SecAggWorkflow(clip=4.0)
SecAggWorkflow(clip=4.0, frac_bits=20, max_weight=10000, corrupt=0.1, dropout=0.3)
"""

from __future__ import annotations

from . import flower

__all__ = ["flower"]
