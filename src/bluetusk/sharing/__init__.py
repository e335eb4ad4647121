"""Secret sharing: additive and replicated over rings, Shamir's over fields, Beaver's products, arrays of shares."""

from . import beaver, ring, shamir
from .bytestrings import reconstruct_bytes, reconstruct_keys, share_bytes, share_keys

__all__ = ["beaver", "reconstruct_bytes", "reconstruct_keys", "ring", "shamir", "share_bytes", "share_keys"]
