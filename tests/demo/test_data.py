"""The public data set, its deal to banks, and the files that are refused."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest

from bluetusk.demo import data


def test_the_data_set_is_the_published_one() -> None:
    customers = data.load()
    x, y = customers.x, customers.y
    assert x.shape == (30_000, 23)
    assert int(y.sum()) == 6_636
    column = dict(zip(data.FEATURES, x.T, strict=True))
    # figures of the UCI description and of the publication's tables
    assert np.bincount(column["SEX"]).tolist() == [0, 11_888, 18_112]
    assert np.bincount(column["EDUCATION"]).tolist() == [14, 10_585, 14_030, 4_917, 123, 280, 51]
    assert np.bincount(column["MARRIAGE"]).tolist() == [54, 13_659, 15_964, 323]
    assert (column["LIMIT_BAL"].min(), column["LIMIT_BAL"].max()) == (10_000, 1_000_000)
    assert (column["AGE"].min(), column["AGE"].max()) == (21, 79)
    assert x[0].tolist()[:6] == [20_000, 2, 2, 1, 24, 2]


def test_the_package_holds_no_second_copy() -> None:
    link = Path(data.__file__).with_name("credit-default.csv.xz")
    assert link.stat().st_size < 1_000_000
    original = Path(__file__).resolve().parents[2] / "examples" / "data" / "credit-default.csv.xz"
    assert original.read_bytes() == link.read_bytes()


def test_the_deal_depends_on_the_seed_alone() -> None:
    customers = data.load()
    first, again, other = (data.deal(customers, banks=10, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.bank, again.bank)
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.bank, other.bank)


@pytest.mark.parametrize("seed", range(5))
def test_banks_are_uneven_and_splits_stratified(seed: int) -> None:
    customers = data.load()
    dealt = data.deal(customers, banks=10, seed=seed)
    sizes = np.bincount(dealt.bank, minlength=10)
    risk = np.bincount(dealt.bank, weights=customers.y) / sizes
    assert sizes.max() > 3 * sizes.min()
    assert sizes.min() > 500
    assert risk.max() > 2 * risk.min()
    for bank in range(10):
        for label in (0, 1):
            share = dealt.train[(dealt.bank == bank) & (customers.y == label)].mean()
            assert share == pytest.approx(0.7, abs=0.01)


def test_uniforms_look_uniform_and_unrelated() -> None:
    a, b = data.uniforms(0, "a", 20_000), data.uniforms(0, "b", 20_000)
    assert 0.0 <= a.min() < a.max() < 1.0
    assert a.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_a_subset_is_a_subset() -> None:
    some, all_ = data.load(rows=500, seed=2), data.load()
    rows = {tuple(row) for row in all_.x.tolist()}
    assert some.x.shape == (500, 23)
    assert all(tuple(row) in rows for row in some.x.tolist())


def test_too_few_customers_are_refused() -> None:
    with pytest.raises(ValueError, match="too few for 50 banks"):
        data.deal(data.load(rows=200), banks=50, seed=0)
    with pytest.raises(ValueError, match="at most the 30000 customers"):
        data.load(rows=30_001)


HEAD = ",".join(("ID", *data.FEATURES, "DEFAULT"))
ROW = ",".join(["1"] * 25)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must name the columns"),
        (b"\xff\xfe\n1,2\n", "must name the columns"),
        (f"{HEAD}\n{ROW},1\n".encode(), "25 values"),
        (f"{HEAD}\n{ROW[:-1]}2\n".encode(), "0 or 1"),
        (f"{HEAD}\n{ROW[:-1]}x\n".encode(), "whole number"),
        (f"{HEAD}\n{ROW[:-1]}\u00e9\n".encode(), "whole number"),
        (f"{HEAD}\n{ROW}\n1,2\n".encode(), "whole number"),
        (lzma.compress(f"{HEAD}\n{ROW}\n".encode())[:-4], "truncated"),
        (lzma.compress(b"x" * 100)[:30] + b"\x00" * 30, "damaged"),
    ],
)
def test_damaged_tables_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.load(path)


def test_a_plain_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{HEAD}\n{ROW}\n{ROW[:-1]}0\n")
    customers = data.load(path)
    assert customers.x.shape == (2, 23)
    assert customers.y.tolist() == [1, 0]
