"""Looks up ids in a partner's blacklist by private set intersection, of which only the asker learns the result."""

from __future__ import annotations

from .query import BlacklistAnswer, blacklist_query, blacklist_serve

__all__ = ["BlacklistAnswer", "blacklist_query", "blacklist_serve"]
