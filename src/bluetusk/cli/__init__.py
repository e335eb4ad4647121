"""The command line, ``bluetusk``: demo, keygen, inspect, selftest, info, bench, certs, party, blacklist, evidence."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
