"""Write paillier_frames_v1.json: one frame of each kind that keys, plans and encrypted arrays are stored in, version 1.

Run once, when a version of the format is released: `python tests/vectors/make_paillier_frames.py`. Encryption is
randomised, so another run gives other bytes with the same meaning. What a release has written is never rewritten.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np

from bluetusk._selftest import _P, _Q
from bluetusk.encoding import FixedPoint
from bluetusk.paillier.keys import PrivateKey

PASSPHRASE = "seven quiet otters"


def main() -> None:
    """Encrypt a few arrays under the key of the self-test, and write everything down, the private key too."""
    warnings.simplefilter("ignore")
    priv = PrivateKey(_P, _Q)
    standard = PrivateKey(_P, _Q, suite="standard")
    pub = priv.public_key
    plans = {
        "default": FixedPoint(),
        "money": FixedPoint.money(digits=3, limit=1e6, max_weight=30_000, on_clip="clip"),
        "integers": FixedPoint.integers(limit=2**40),
        "l2": FixedPoint(clip=0.3, frac_bits=30, guard_bits=5, on_clip="l2", rounding="stochastic"),
    }
    numbers = [[0.5, -1.25], [3.75, 0.0]]
    wide = np.arange(-3, 2) / 4
    arrays = {
        "plain": pub.encrypt(numbers),
        "packed": pub.encrypt(wide, packed=True),
        "derived": pub.encrypt([1.5, -2.0]) * 3 + 0.25,
        "decimal": pub.encrypt([10.1, -0.055], plans["money"]),
        "standard": standard.public_key.encrypt([2**40, -1], plans["integers"]),
        "empty": pub.encrypt(np.zeros((2, 0))),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        priv.save(path, PASSPHRASE)
        key_file = path.read_bytes()
    content = {
        "header": [
            "Frames of plans, public keys, encrypted arrays and a private-key file, format version 1, hexadecimal.",
            "The private key is the self-test's, for tests only; the values of the arrays stand beside their frames.",
        ],
        "generator": "tests/vectors/make_paillier_frames.py",
        "passphrase": PASSPHRASE,
        "private_key": key_file.hex(),
        "public_key": {"djn": pub.to_bytes().hex(), "standard": standard.public_key.to_bytes().hex()},
        "plans": {name: plan.to_bytes().hex() for name, plan in plans.items()},
        "arrays": {
            name: {
                "frame": c.to_bytes().hex(),
                "values": (standard if name == "standard" else priv).decrypt(c).tolist(),
                "frac": c.frac,
                "packed": c.packed,
                "fresh": c.fresh,
            }
            for name, c in arrays.items()
        },
    }
    Path(__file__).with_name("paillier_frames_v1.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
