"""Sums under Paillier: what clients, an aggregator and a key holder agree on before the first round."""

from __future__ import annotations

from .plan import MAX_CLIENTS, MAX_TENSORS, PaillierSum

__all__ = ["MAX_CLIENTS", "MAX_TENSORS", "PaillierSum"]
