"""Write paillier_sum_v1.json: one frame of each kind of message of a sum, by the released version 1 of the format.

Run once, when a version of the format is released: `python tests/vectors/make_sum_frames.py`. Encryption is randomised,
so another run gives other bytes with the same meaning. A file that a release has written is never rewritten.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bluetusk.encoding import FixedPoint
from bluetusk.federated import PaillierSum
from bluetusk.paillier.keys import generate_keypair

NAMES = ("north", "south", "west")


def main() -> None:
    """Make a key, a session and one round of it, and write everything down, the private key too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pub, priv = generate_keypair(2048)
    seeds = {name: bytes([i + 1]) * 32 for i, name in enumerate(NAMES)}
    keys = {name: Ed25519PrivateKey.from_private_bytes(seed) for name, seed in seeds.items()}
    clients = {name: (key.public_key().public_bytes_raw(), 10 * (i + 1)) for i, (name, key) in enumerate(keys.items())}
    tensors = {"grad": (FixedPoint(), 3), "cents": (FixedPoint.money(), 2)}
    session = PaillierSum(pub, tensors, clients)
    aggregator = session.aggregator()
    sent = {}
    for i, (name, key) in enumerate(keys.items()):
        sent[name] = session.client(name, key).contribute(0, "grad", np.array([0.5, -1.25, i]), weight=10 * (i + 1))
        if not aggregator.add(sent[name]):
            raise SystemExit("a contribution was refused")
    total = aggregator.finish(0, "grad")
    with tempfile.TemporaryDirectory() as folder, session.key_holder(priv, state=Path(folder, "sums")) as holder:
        result = holder.open(total)
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    content = {
        "header": [
            "Frames of PaillierSum, format version 1, hexadecimal; the private key is for these tests only.",
            "Weights 10, 20, 30; values [0.5, -1.25, i] of client i = 0, 1, 2.",
        ],
        "generator": "tests/vectors/make_sum_frames.py",
        "p": f"{p:x}",
        "q": f"{q:x}",
        "signing_seeds": {name: seed.hex() for name, seed in seeds.items()},
        "session": session.to_bytes().hex(),
        "contributions": {name: message.hex() for name, message in sent.items()},
        "total": total.hex(),
        "result": result.to_bytes(session).hex(),
        "integers": result.integers.tolist(),
        "weight": result.weight,
        "mean": result.mean.tolist(),
    }
    Path(__file__).with_name("paillier_sum_v1.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
