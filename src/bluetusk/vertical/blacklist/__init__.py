"""Which of our applicants are on a partner's blacklist? An intersection of which one side learns the result."""

from __future__ import annotations

from .query import BlacklistAnswer, blacklist_query, blacklist_serve

__all__ = ["BlacklistAnswer", "blacklist_query", "blacklist_serve"]
