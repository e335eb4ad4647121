"""The server of secure aggregation: :class:`Server` runs one round, phase after phase, a file for each."""

from __future__ import annotations

from .machine import Server

__all__ = ["Server"]
