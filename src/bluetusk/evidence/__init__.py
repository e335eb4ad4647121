"""Who may use what, what was used, and proof of it afterwards: policy, meter, log, audit."""

from __future__ import annotations

from ._audit import Audit, AuditReport
from ._entries import Record
from ._guard import Guard, Permit
from ._head import Head
from ._log import Log
from ._merkle import leaf_hash, verify_consistency, verify_inclusion
from ._meter import Meter
from ._recorder import Recorder
from ._verify import Report, read_heads, verify
from .book import AuditBook
from .identity import Identity, fingerprint, fingerprint_groups, read_public_key
from .policy import Grant, Policy

__all__ = [
    "Audit",
    "AuditBook",
    "AuditReport",
    "Grant",
    "Guard",
    "Head",
    "Identity",
    "Log",
    "Meter",
    "Permit",
    "Policy",
    "Record",
    "Recorder",
    "Report",
    "fingerprint",
    "fingerprint_groups",
    "leaf_hash",
    "read_heads",
    "read_public_key",
    "verify",
    "verify_consistency",
    "verify_inclusion",
]
