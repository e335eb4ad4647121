"""Secret sharing: additive and replicated over rings, Shamir's over fields, Beaver's products, arrays of shares."""

from . import beaver, ring, shamir
from .array import Session, SharedArray
from .bytestrings import correct_bytes, reconstruct_bytes, reconstruct_keys, share_bytes, share_keys
from .dealer import RemoteDealer, serve_dealer
from .paillier_triples import PaillierTriples
from .share import Share

__all__ = [
    "PaillierTriples",
    "RemoteDealer",
    "Session",
    "Share",
    "SharedArray",
    "beaver",
    "correct_bytes",
    "reconstruct_bytes",
    "reconstruct_keys",
    "ring",
    "serve_dealer",
    "shamir",
    "share_bytes",
    "share_keys",
]
