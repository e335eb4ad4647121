"""The two roles as separate processes: mutual TLS, steps that survive a kill, everything kept on an encrypted disk."""

from .certs import Identity, make_certificate
from .process import Party

__all__ = ["Identity", "Party", "make_certificate"]
