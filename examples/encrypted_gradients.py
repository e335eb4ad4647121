"""Three hospitals add up gradients that nobody else can read: one key pair, NumPy arrays, no network.

python examples/encrypted_gradients.py
"""

from __future__ import annotations

import numpy as np

import bluetusk as bt


def main() -> None:
    """Encrypt, weight, add, decrypt."""
    # The key holder makes a key pair and publishes `pub`.
    pub, priv = bt.paillier.generate_keypair()
    print("compare aloud:", pub.fingerprint_words)

    # All agree on an encoding of reals as integers: -1 to 1 in steps of 2^-20, weights that sum to at most 100.
    plan = bt.FixedPoint(clip=1.0, frac_bits=20, max_weight=100)

    # Each hospital encrypts its gradient. packed=True puts about a hundred values into a ciphertext.
    gradients = [np.linspace(-1, 1, 1000) * scale for scale in (0.2, 0.5, 0.9)]
    encrypted = [pub.encrypt(gradient, plan, packed=True) for gradient in gradients]

    # Anybody can add the ciphertexts, with whole-number weights, and learns nothing.
    weights = [10, 25, 65]
    total = encrypted[0] * weights[0] + encrypted[1] * weights[1] + encrypted[2] * weights[2]
    print(total, "takes", total.nbytes, "bytes")

    # Only the key holder can decrypt, and gets nothing but the sum.
    mean = priv.decrypt(total) / sum(weights)
    expected = np.average(gradients, axis=0, weights=weights)
    print("largest error:", np.abs(mean - expected).max(), "of at most", 2.0**-21)


if __name__ == "__main__":
    main()
