"""Runs the two roles as separate processes: mutual TLS, steps that survive a kill, all state encrypted on disk."""

from .certs import Identity, make_certificate
from .process import Party

__all__ = ["Identity", "Party", "make_certificate"]
