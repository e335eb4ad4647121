"""One round of a federated sum with its three roles: clients, aggregator, key holder. The roles exchange only bytes.

    python examples/federated_sum.py

`bluetusk demo banks` does the same with a process for each role, many rounds, and real data.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt


def main() -> None:
    """Run one round; one of the four clients is absent."""
    # The key holder makes the Paillier keys; each client makes a signing key and publishes its public half.
    pub, priv = bt.paillier.generate_keypair()
    names = ["north", "south", "east", "west"]
    signing = {name: Ed25519PrivateKey.generate() for name in names}

    # All agree on the session: encoding and length of each tensor, the clients, and the largest weight of each client.
    plan = bt.FixedPoint(clip=1.0, frac_bits=30, max_weight=4 * 1000)
    clients = {name: (key.public_key().public_bytes_raw(), 1000) for name, key in signing.items()}
    # The configuration carries a proof of the key, without which nobody encrypts under it.
    session = bt.federated.PaillierSum(pub, {"gradient": (plan, 5)}, clients)
    configuration = session.prove(priv).to_bytes()

    # Each client reads the configuration, encrypts its gradient times its weight, and signs. West is absent.
    messages = []
    for weight, name in enumerate(["north", "south", "east"], start=1):
        session = bt.federated.PaillierSum.from_bytes(configuration)
        client = session.client(name, signing[name])
        messages.append(client.contribute(0, "gradient", np.full(5, 0.1 * weight), weight=100 * weight))

    # The aggregator, which has no private key, checks and adds. It rejects copies and forgeries and names them.
    aggregator = bt.federated.PaillierSum.from_bytes(configuration).aggregator()
    for message in [*messages, messages[0]]:
        print(aggregator.add(message))
    total = aggregator.finish(0, "gradient")

    # The key holder sees only the total, and never opens a second total for the same round and tensor.
    session = bt.federated.PaillierSum.from_bytes(configuration)
    with tempfile.TemporaryDirectory() as folder, session.key_holder(priv, state=Path(folder, "opened")) as holder:
        result = holder.open(total)
    print("clients", result.clients, "weight", result.weight, "mean", result.mean)


if __name__ == "__main__":
    main()
