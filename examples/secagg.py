"""One round of secure aggregation: six hospitals add up vectors, one drops out midway, and there is no key holder.

    python examples/secagg.py

The parties exchange only bytes. In real life each runs in a separate process; here one function carries the messages.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import bluetusk as bt
from bluetusk.federated import secagg


def main() -> None:
    """Run one round; one of the six clients drops out after it shared its keys."""
    # Each client and the server has an identity key; all clients know all public halves.
    names = ["amiens", "brest", "calais", "dijon", "evry", "fos"]
    signing = {name: Ed25519PrivateKey.generate() for name in names}
    server_key = Ed25519PrivateKey.generate()

    # All agree on the session. The plan: one in six clients may collude with the server, two in six may drop out.
    plan = secagg.plan(6, corrupt=0.2, dropout=0.34)  # the floats 1 / 6 and 1 / 3 are a little less than the fractions
    encoding = bt.FixedPoint(clip=1.0, frac_bits=30, max_weight=6 * 1000)
    clients = {name: (key.public_key().public_bytes_raw(), 1000) for name, key in signing.items()}
    session = secagg.Session(plan, encoding, 4, clients, server_key.public_key().public_bytes_raw())
    configuration = session.to_bytes()  # the clients read it with Session.from_bytes and compare its hash

    with tempfile.TemporaryDirectory() as folder:
        parties = {
            name: secagg.Client(
                secagg.Session.from_bytes(configuration), name, signing[name], journal=Path(folder, f"{name}.journal")
            )
            for name in names
        }
        server = secagg.Server(session, 0, server_key)

        # Each client quantises its vector and advertises fresh keys. Its weight is its number of rows.
        for i, client in enumerate(parties.values(), 1):
            for message in client.start(0, np.full(4, 0.1 * i), weight=100 * i):
                print(server.step(message))

        # In each phase the server sends and the clients answer. Evry drops out before it sends its masked vector.
        while not server.last:
            for name, message in server.advance().items():
                if name == "evry" and server.phase == "masked":
                    continue
                for answer in parties[name].step(message):
                    server.step(answer)
        result = server.finish()
        for client in parties.values():
            client.close()
        journal = Path(folder, "amiens.journal").read_text()

    print("in the sum", result.clients, "vanished", result.dropped)
    print("weight", result.weight, "mean", result.mean)
    print("amiens noted", len(journal.splitlines()), "things that it will not do twice")


if __name__ == "__main__":
    main()
