"""Sums over many parties: encrypted under Paillier, with a key holder, or masked, without one; noise for privacy."""

from __future__ import annotations

from . import noise, secagg
from .paillier_sum.aggregator import Accepted, Aggregator, Answers, Rejected
from .paillier_sum.client import Client
from .paillier_sum.holder import KeyHolder, SumResult
from .paillier_sum.plan import PaillierSum

__all__ = [
    "Accepted",
    "Aggregator",
    "Answers",
    "Client",
    "KeyHolder",
    "PaillierSum",
    "Rejected",
    "SumResult",
    "noise",
    "secagg",
]
