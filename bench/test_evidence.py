"""Microbenchmarks of evidence: a record, a use, opening, verifying, proving; fsync is part of the first two."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from bluetusk.evidence import Audit, Grant, Guard, Identity, Log, Policy, verify, verify_consistency

RECORDS = 1000
PEER = "5a" * 32


@pytest.fixture(scope="module")
def owner() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def path(owner: Identity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evidence") / "log"
    with Log.create(path, owner, owner="bank") as log:
        for i in range(RECORDS - 1):
            log.append("step", by="bank", task="job", details={"i": i})
    return path


def test_append(benchmark: Any, owner: Identity, tmp_path: Path) -> None:
    with Log.create(tmp_path / "log", owner, owner="bank") as log:
        benchmark(lambda: log.append("step", by="bank", task="job", hashes={"model": bytes(32)}))


def test_authorise(benchmark: Any, owner: Identity, tmp_path: Path) -> None:
    grant = Grant("g", PEER, ("binning",), ("*",), uses=1 << 40, until=1 << 39, max_sums=1 << 40, max_bits=1 << 40)
    tasks = map(str, itertools.count())
    use = {"peer": PEER, "purpose": "binning", "columns": ["AGE"], "rows": 1000}
    use |= {"min_rows": 50, "min_events": 5, "min_others": 5, "bins": 8}
    with Guard(Policy("bank", 1, (grant,)).sign(owner), tmp_path / "uses", owner=owner.public_key) as guard:
        benchmark(lambda: guard.authorise(**use, task=next(tasks)))  # type: ignore[arg-type]


def test_open_1000_records(benchmark: Any, owner: Identity, path: Path) -> None:
    benchmark(lambda: Log.open(path, owner).close())


def test_verify_1000_records(benchmark: Any, owner: Identity, path: Path) -> None:
    assert benchmark(lambda: verify(path, key=owner.public_key)).ok


def test_prove_and_check_an_extension(benchmark: Any, owner: Identity, path: Path) -> None:
    with Log.open(path, owner) as log:
        old, new = log.head(617), log.head()
        assert benchmark(lambda: verify_consistency(old.size, new.size, log.consistency(old.size), old.root, new.root))


def test_audited_encryption(benchmark: Any, pub: Any, tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", "correct horse")
    with audit:
        benchmark(lambda: pub.encrypt([1.0] * 256))
    audit.close()
