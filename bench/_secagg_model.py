"""Computed costs of rounds of secure aggregation: plans, sizes of messages, and unit costs measured on this machine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import bluetusk as bt
from bluetusk.federated import secagg
from bluetusk.federated.secagg._messages import SHARE, about, check_signed, check_tagged, signed, tagged
from bluetusk.federated.secagg._peer import box_bytes
from bluetusk.federated.secagg._roster import Roster
from bluetusk.federated.secagg.masks import agree, apply, derive
from bluetusk.federated.secagg.server.masked import add_packed
from bluetusk.sharing import reconstruct_keys, share_keys
from bluetusk.wire.frame import Kind, decode, encode


def unit_costs() -> dict[str, float]:
    """Processor seconds of what clients and servers do many times; those of vectors for a million words of 32 bits."""

    def least(act: Any, count: int = 1) -> float:
        times = []
        for _ in range(9):
            began = time.process_time()
            act()
            times.append((time.process_time() - began) / count)
        return min(times)

    mine, other = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key().public_bytes_raw()
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    n, encoding = 2000, bt.FixedPoint(max_weight=100_000)
    clients = {f"c{i:04}": (i.to_bytes(32, "little"), 1) for i in range(n)}
    session = secagg.Session(secagg.plan(n), encoding, 10**6, clients, public)
    words, values = np.zeros(10**6, np.uint32), np.linspace(-4, 4, 10**6)
    vector = decode(tagged(session, 0, Kind.SECAGG_MASKED, {"sender": 0}, words.tobytes(), bytes(32)))
    small = decode(tagged(session, 0, Kind.SECAGG_SHARES, {"sender": 0}, bytes(5000), bytes(32)))
    advert = decode(signed(session, 0, Kind.SECAGG_ADVERTISE, {"sender": 0}, bytes(96), key))
    roster = b"".join(  # keys that differ; what they are does not matter here
        i.to_bytes(4, "little") + (2 * i + 1).to_bytes(32, "little") + (2 * i + 2).to_bytes(32, "little") + bytes(32)
        for i in range(n)
    )
    shares = share_keys([bytes(32)] * 100, 32, 32)
    ids = list(range(1, 33))

    def agreement() -> None:
        for _ in range(50):
            derive(agree(mine, other, 0, None), bytes(32), 0, b"mask", bytes(32), bytes(32))

    def add() -> None:
        check_tagged(session, 0, vector, ("sender",), bytes(32))
        add_packed(words, vector.payload, 32)

    def verify() -> None:
        for _ in range(50):
            check_signed(advert, ("sender",), public)

    def sign() -> None:
        for _ in range(50):
            signed(session, 0, Kind.SECAGG_DELIVERY, {"to": 0}, bytes(5000), key)

    def message() -> None:
        for _ in range(50):
            check_tagged(session, 0, small, ("sender",), bytes(32))

    return {
        "agreement": least(agreement, 50),
        "message": least(message, 50),
        "sign": least(sign, 50),
        "mask": least(lambda: apply(words, [(bytes(32), True)])),
        "vector": least(add),  # its tag, and adding it
        "quantise": least(lambda: encoding.quantise(values)),
        "signature": least(verify, 50),
        "roster": least(lambda: Roster(session, 0, roster), n),  # each client of it, with its place in the graph
        "secret": least(lambda: reconstruct_keys(shares, ids, 32, 32, check=False), 100),
    }


def message_sizes(n: int, plan: secagg.Plan, d: int) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes that a client sends and receives, phase by phase, from frames with headers of their true sizes."""
    key = Ed25519PrivateKey.generate()
    pair = {name: (name.encode() * 32, 1) for name in "ab"}
    any_session = secagg.Session(secagg.plan(2), bt.FixedPoint(), d, pair, bytes(32))
    k, malicious = plan.neighbours, plan.malicious
    box, head = 4 + box_bytes(plan), (n + 7) // 8

    def own(kind: Kind, size: int) -> int:
        return len(tagged(any_session, 0, kind, {"sender": n - 1}, b"", bytes(32))) + size

    def of_server(kind: Kind, size: int, **fields: Any) -> int:
        return len(signed(any_session, 0, kind, fields, b"", key)) + size

    sender = {**about(any_session, 0), "sender": n - 1}
    sent = {
        "keys": len(signed(any_session, 0, Kind.SECAGG_ADVERTISE, {"sender": n - 1}, bytes(96), key)),
        "shares": own(Kind.SECAGG_SHARES, k * box),
        "masked vector": own(Kind.SECAGG_MASKED, 4 * (d + 1)),
        "consent": len(encode(Kind.SECAGG_CONSENT, {**sender, "signature": bytes(64)})) if malicious else 0,
        "answer": len(encode(Kind.SECAGG_REVEAL, sender)) + 28 + k * (4 + SHARE),
    }
    received = {
        "keys": of_server(Kind.SECAGG_ROSTER, n * (164 if malicious else 100), key=bytes(32)),
        "shares": of_server(Kind.SECAGG_DELIVERY, head + k * box, to=n - 1),
        "consent": of_server(Kind.SECAGG_VIEW, head) if malicious else 0,
        "request": of_server(Kind.SECAGG_REQUEST, head + (68 * plan.quorum if malicious else 0)),
    }
    return sent, received


def paper(sizes: list[int], d: int) -> list[dict[str, Any]]:
    """Plans for many clients and what they cost each role, a tenth of the clients dropped: a model, not a run."""
    unit = unit_costs()
    scale = d / 1e6
    rows = []
    for n in sizes:
        for malicious in (False, True):
            plan = secagg.plan(n, corrupt=0.1, dropout=0.1, malicious=malicious)
            k, gone = plan.neighbours, n // 10
            near = 2 * k if malicious else k + k % 2  # who masks against a client: if each chooses, as many chose it
            sent, received = message_sizes(n, plan, d)
            client = (2 * near + 1) * unit["agreement"] + n * unit["roster"]
            client += scale * ((near + 1) * unit["mask"] + unit["quantise"])
            each = ("signature", "agreement", "secret", "roster", "sign", "message", "message")
            server = n * sum(unit[name] for name in each)
            server += (n - gone) * scale * (unit["vector"] + unit["mask"])
            server += gone * near * 9 // 10 * (scale * unit["mask"] + unit["agreement"])
            if malicious:
                client += (n + plan.quorum) * unit["signature"]  # of all keys, and of those that consented
                server += 2 * n * unit["signature"]
            first, last = ("keys", "shares"), ("masked vector", "consent", "answer", "request")
            flow = [sum(n * size[x] for x in first) for size in (sent, received)]
            for i, size in enumerate((sent, received)):
                flow[i] += (n - gone) * sum(size.get(x, 0) for x in last)
            rows.append(
                {
                    "clients": n,
                    "malicious": malicious,
                    "neighbours": k,
                    "threshold": plan.threshold,
                    "client_s": client,
                    "client_sends": sum(sent.values()),
                    "client_receives": sum(received.values()),
                    "server_s": server,
                    "server_receives_GB": flow[0] / 1e9,
                    "server_sends_GB": flow[1] / 1e9,
                }
            )
    return rows
