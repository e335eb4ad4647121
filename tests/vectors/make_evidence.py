"""Write evidence_v2.json: a file of each kind of bt.evidence, by version 2 of the format of policies.

Run once, when a version of the format is released: `python tests/vectors/make_evidence.py`. Ids, salts and nonces are
random, so another run gives other bytes with the same meaning. A file that a release has written is never rewritten.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bluetusk.evidence import Audit, Grant, Guard, Identity, Log, Meter, Policy, Recorder
from bluetusk.paillier.keys import generate_keypair

PASSPHRASE = "correct horse"
BANK = "5a" * 32


def clock() -> float:
    """Return one moment of 2026."""
    return 1_780_000_000.25


def main() -> None:
    """Let a network and a bank of fixed keys do a small job, and write all their files down."""
    seeds = {"network": "01" * 32, "bank": "02" * 32}
    network, bank = (Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))) for seed in seeds.values())
    grant = Grant(
        "bank-2026",
        BANK,
        ("binning", "blacklist", "predict"),
        ("PAY_0", "BILL"),
        uses=3,
        not_before=1_700_000_000,
        until=1_800_000_000,
        min_rows=50,
        min_events=6,
        min_others=7,
        min_intersection=1000,
        max_ids_per_request=10,
        max_ids_total=20,
        max_models=2,
        max_sums=1000,
        reveal=("woe",),
        name="bank",
    )
    policy = Policy("network", 7, (grant,), ("old",)).sign(network, issued=1_770_000_000)
    meter = Meter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pub, _ = generate_keypair(2048)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network.save(folder / "identity", PASSPHRASE)
        with (
            Log.create(folder / "log", network, owner="network", clock=clock) as log,
            Log.create(folder / "peer", bank, owner="bank", clock=clock) as peer,
            Guard(policy, folder / "uses", owner=network.public_key, clock=clock) as guard,
        ):
            recorder = Recorder(
                log=log, meter=meter, job="job-7", me="network", peers={"bank": BANK}, guard=guard, resumed=True
            )
            recorder.authorise(
                **{"peer": "bank", "purpose": "binning", "columns": ["PAY_0"], "rows": 21000, "task": "binning"},
                **{"min_rows": 50, "min_events": 6, "min_others": 7, "bins": 10, "reveal": ("woe",)},
                intersection=bytes(range(32)),
            )
            recorder.authorise(
                peer="bank", purpose="predict", columns=["PAY_0"], rows=9000, task="predict", model=bytes(range(1, 33))
            )
            recorder.count(peer="bank", task="binning", what="values_revealed", number=180, message="binning/0/3")
            recorder.finish("binning", hashes={"woe": bytes(range(32))})
            log.accept(peer.offer(), party="bank", key=bank.public_key)
            peer.accept(log.offer(), party="network", key=network.public_key)
            head, offer = log.head(), log.offer(2)
        with Audit(folder / "audit", PASSPHRASE, task="job-7") as audit:
            pub.encrypt([5])
        audit.close()
        files = {path.name: path.read_bytes().hex() for path in sorted(folder.iterdir())}
    content = {
        "header": ["Files and frames of bt.evidence, version 2 of policies, hexadecimal; keys for these tests only."],
        "generator": "tests/vectors/make_evidence.py",
        "passphrase": PASSPHRASE,
        "seeds": seeds,
        "policy": policy.to_bytes().hex(),
        "meter": meter.to_bytes().hex(),
        "head": head.to_bytes().hex(),
        "head_json": head.to_json(),
        "offer": offer.hex(),
        "files": files,
    }
    target = Path(__file__).with_name("evidence_v2.json")
    target.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
