"""Write share_frames_v1.json: frames of shares (5), of ciphertexts that become shares (6), of rings (7), version 1.

Run once, when a version of the format is released: `python tests/vectors/make_share_frames.py`. Shares are random, so
another run gives other bytes with the same meaning. What a release has written is never rewritten.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np

from bluetusk._selftest import _P, _Q
from bluetusk.encoding import FixedPoint
from bluetusk.paillier import RingArray, encrypt_share
from bluetusk.paillier.keys import PrivateKey
from bluetusk.sharing import Share, ring, shamir, share_bytes

PRIMES = {
    "2^31 - 1": 2**31 - 1,
    "2^61 - 1": 2**61 - 1,
    "goldilocks": 2**64 - 2**32 + 1,
    "vdaf 128": 2**128 - 7 * 2**66 + 1,
}


def main() -> None:
    """Share a few arrays, and write all shares down."""
    warnings.simplefilter("ignore")
    shares: dict[str, list[Share]] = {}
    for name, prime in PRIMES.items():
        rows = shamir.share([[0, 1, 2], [3, 4, prime - 1]], 3, 5, prime)
        shares[name] = [Share("shamir", prime, 3, 5, i + 1, row) for i, row in enumerate(rows)]
    rows = share_bytes(b"seven quiet otters", 2, 3)
    shares["bytes"] = [Share("shamir", 256, 2, 3, i + 1, row) for i, row in enumerate(rows)]
    for bits in (32, 64):
        rows = ring.share(np.array([-1, 0, 2**31 - 1]), 3, bits)
        shares[f"ring {bits}"] = [Share("additive", 2**bits, 3, 3, i, row) for i, row in enumerate(rows)]
    rows = ring.share_replicated([5, -6])
    shares["replicated"] = [Share("replicated", 2**64, 2, 3, i, row) for i, row in enumerate(rows)]
    with PrivateKey(_P, _Q) as priv:
        pub = priv.public_key
        mine, request = pub.encrypt([[3, -4], [5, 2**40]], FixedPoint.integers(2**41)).to_shares()
        narrow, narrow_request = pub.encrypt([3.5, -3.25]).to_shares(bits=32, truncate=16)
        words = ring.share([7, -8], 2)
        array = 3 * RingArray.of(encrypt_share(pub, words[0]), words[1]) - 1
        content = {
            "header": [
                "Frames of shares, of masked ciphertexts that become shares, and of ring arrays, format version 1,",
                "hexadecimal. The private key is the self-test's, for tests only.",
            ],
            "generator": "tests/vectors/make_share_frames.py",
            "shares": {name: [share.to_bytes().hex() for share in of] for name, of in shares.items()},
            "requests": {
                "64 bits": {"mine": mine.ravel().tolist(), "frame": request.hex()},
                "32 bits, truncated": {"mine": narrow.tolist(), "frame": narrow_request.hex()},
            },
            "ring_array": array.to_bytes(2**70).hex(),
        }
    Path(__file__).with_name("share_frames_v1.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
