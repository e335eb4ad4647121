"""A session of secure aggregation in one process, with every message in the test's hands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bluetusk.encoding import FixedPoint
from bluetusk.federated import secagg

SEEDS = [hashlib.sha256(f"client {i}".encode()).digest() for i in range(200)]
KEYS = [Ed25519PrivateKey.from_private_bytes(seed) for seed in SEEDS]
PUBLIC = [key.public_key().public_bytes_raw() for key in KEYS]
SERVER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"server").digest())


class World:
    """Names c000, c001, ..; a client's largest weight is 10, or less where the encoding is narrow."""

    def __init__(
        self,
        plan: secagg.Plan | int,
        encoding: FixedPoint | None = None,
        length: int = 5,
        folder: Path | None = None,
        **options: Any,
    ) -> None:
        plan = secagg.plan(plan) if isinstance(plan, int) else plan
        self.names = [f"c{i:03}" for i in range(plan.clients)]
        self.keys = dict(zip(self.names, KEYS, strict=False))
        self.encoding = FixedPoint.integers(limit=1000, max_weight=10 * plan.clients) if encoding is None else encoding
        self.weight = max(1, min(10, self.encoding.max_weight // plan.clients))
        self.session = secagg.Session(
            plan,
            self.encoding,
            length,
            {name: (public, self.weight) for name, public in zip(self.names, PUBLIC, strict=False)},
            SERVER.public_key().public_bytes_raw(),
            **options,
        )
        self.folder = folder
        self.server_key = SERVER

    def client(self, name: str) -> secagg.Client:
        journal = None if self.folder is None else self.folder / f"journal-{name}"
        return secagg.Client(self.session, name, self.keys[name], journal=journal)

    def clients(self) -> dict[str, secagg.Client]:
        return {name: self.client(name) for name in self.names}

    def server(self, round: int = 0) -> secagg.Server:
        return secagg.Server(self.session, round, SERVER)

    def inputs(self, seed: int = 0) -> tuple[dict[str, list[int]], dict[str, int]]:
        """Return integers within the limit of an encoding of integers, its ends among them, and weights."""
        rng = np.random.default_rng(seed)
        limit = self.encoding.limit
        values = {name: rng.integers(-limit, limit + 1, self.session.length).tolist() for name in self.names}
        values[self.names[0]][0], values[self.names[-1]][-1] = limit, -limit
        return values, {name: int(rng.integers(1, self.weight + 1)) for name in self.names}

    def expected(
        self, values: dict[str, list[int]], weights: dict[str, int], clients: tuple[str, ...]
    ) -> tuple[list[int], int]:
        """Return the sums in Python's integers."""
        sums = [sum(weights[name] * values[name][j] for name in clients) for j in range(self.session.length)]
        return sums, sum(weights[name] for name in clients)

    def to(self, phase: str, values: Any = None, weights: Any = None, round: int = 0, drop: Any = ()) -> Any:
        """Run until the server is in `phase`, all messages of it taken; return server, clients, the last messages out.

        `drop` holds (name, phase): from this phase on the client sends nothing.
        """
        default = self.inputs()
        values, weights = values or default[0], weights or default[1]
        server, clients = self.server(round), self.clients()
        gone = {name for name, when in drop if when == "advertise"}
        for name, client in clients.items():
            (message,) = client.start(round, values[name], weights[name])
            if name not in gone:
                assert server.step(message)
        out: dict[str, bytes] = {}
        while server.phase != phase:
            out = server.advance()
            gone |= {name for name, when in drop if when == server.phase}
            for name, message in out.items():
                if name not in gone:
                    for answer in clients[name].step(message):
                        assert server.step(answer), server._round.rejected
        return server, clients, out


@pytest.fixture(scope="session")
def make() -> Callable[..., World]:
    return World
