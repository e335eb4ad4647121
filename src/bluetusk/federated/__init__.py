"""Sums over many parties: encrypted under Paillier, with a key holder, or masked, without one; noise for privacy."""

from __future__ import annotations

from . import noise, secagg
from ._aggregator import Accepted, Aggregator, Rejected
from ._client import Client
from ._holder import KeyHolder, SumResult
from .paillier_sum import PaillierSum

__all__ = ["Accepted", "Aggregator", "Client", "KeyHolder", "PaillierSum", "Rejected", "SumResult", "noise", "secagg"]
