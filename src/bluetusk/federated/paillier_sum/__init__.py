"""Sums under Paillier: what clients, an aggregator and a key holder agree on before the first round.

Three roles exchange bytes and nothing else. A *client* encrypts its weighted vector under the key holder's public key
and signs what it sends. The *aggregator* has no private key: it checks every contribution, adds them as they come and
keeps nothing but the sum. The *key holder* sees no contribution, only totals; it checks the clients' signatures in a
total and decrypts one sum per (session, round, tensor), ever.

What a sum reveals, and to whom
    The key holder, and whoever receives its results, learns the sum, the sum of the weights and who took part. The
    aggregator learns who took part. Nobody learns a single client's vector or weight, provided that the key holder and
    the aggregator do not collude: **together they can decrypt any contribution**.

What is not protected
    A client may lie about its values within the plan's limits and about its weight within its declared largest; it can
    spoil a sum, not crash or relabel one. The key holder cannot verify that the aggregator really added what was
    signed: it notices a total whose weight does not fit the clients named in it, or that exceeds their limits, but an
    aggregator that deviates could pass one client's ciphertext for a total. Sums of almost the same clients over many
    rounds reveal something about the difference; no noise (differential privacy) is added here. Results are not signed:
    send totals and results over authenticated channels.
"""

from __future__ import annotations

from .plan import MAX_CLIENTS, MAX_TENSORS, PaillierSum

__all__ = ["MAX_CLIENTS", "MAX_TENSORS", "PaillierSum"]
