"""Write secagg_v1.json: every message of two rounds of secure aggregation, and saved states, by format version 1.

Run once, when a version of the format is released: `python tests/vectors/make_secagg_frames.py`. Keys are drawn anew,
so another run gives other bytes with the same meaning. What a release has written is never rewritten.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bluetusk.encoding import FixedPoint
from bluetusk.federated import secagg

STATE_KEY = bytes(range(32))
SERVER_SEED = bytes([200]) * 32


def transcript(plan: secagg.Plan, encoding: FixedPoint) -> dict[str, Any]:
    """Run a round in which the last client vanishes before it sends its vector, and keep all that was sent."""
    seeds = {f"c{i}": bytes([i + 1]) * 32 for i in range(plan.clients)}
    keys = {name: Ed25519PrivateKey.from_private_bytes(seed) for name, seed in seeds.items()}
    server_key = Ed25519PrivateKey.from_private_bytes(SERVER_SEED)
    session = secagg.Session(
        plan,
        encoding,
        2,
        {name: (key.public_key().public_bytes_raw(), 3) for name, key in keys.items()},
        server_key.public_key().public_bytes_raw(),
        session_id=bytes(range(16)),
    )
    server = secagg.Server(session, 7, server_key)
    gone = session.names[-1]
    phases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        clients = {name: secagg.Client(session, name, key, journal=Path(folder, name)) for name, key in keys.items()}
        sent = {name: client.start(7, [i, -i], 1 + i % 3) for i, (name, client) in enumerate(clients.items())}
        while True:
            phase: dict[str, Any] = {"phase": server.phase, "server_state": server.to_bytes(STATE_KEY).hex()}
            phase["client_state"] = clients["c0"].to_bytes(STATE_KEY).hex()
            if server.phase == "masked":
                del sent[gone]
            phase["sent"] = {name: answer.hex() for name, (answer,) in sent.items()}
            for (answer,) in sent.values():
                if not server.step(answer):
                    raise SystemExit("a message was refused")
            phases.append(phase)
            if server.last:
                break
            out = server.advance()
            phase["answers"] = {name: message.hex() for name, message in out.items()}
            sent = {name: clients[name].step(message) for name, message in out.items()}
        result = server.finish()
        for client in clients.values():
            client.close()
    return {
        "session": session.to_bytes().hex(),
        "seeds": {name: seed.hex() for name, seed in seeds.items()},
        "phases": phases,
        "integers": result.integers.tolist(),
        "weight": result.weight,
        "clients": list(result.clients),
        "dropped": list(result.dropped),
    }


def main() -> None:
    """Write both rounds down, the private keys too."""
    content = {
        "header": [
            "Rounds of secure aggregation, format version 1, hexadecimal: for each phase the state of the server and",
            "of client c0 before it, what the clients sent, and what the server then sent. Client i gives [i, -i] with",
            "the weight 1 + i % 3; the last one vanishes before it sends its vector. The keys are for tests only.",
        ],
        "generator": "tests/vectors/make_secagg_frames.py",
        "server_seed": SERVER_SEED.hex(),
        "state_key": STATE_KEY.hex(),
        "rounds": {
            "complete": transcript(secagg.plan(4, dropout=0.25), FixedPoint.integers(limit=5, max_weight=12)),
            "sparse, malicious": transcript(
                secagg.plan(9, 0.05, 0.15, True, complete=False, security=2, correctness=1),
                FixedPoint(clip=8.0, frac_bits=20, max_weight=27),
            ),
        },
    }
    Path(__file__).with_name("secagg_v1.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
