"""Reads the demo's customers, a public data set, deals them to banks and splits them into training and test by a seed.

Every process computes the deal from the file and the seed, so no row ever travels. The deal is a hash of the seed, not
the output of a random number generator: the same on every machine, and nothing that cryptographic code could use by
mistake.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEATURES", "Customers", "Deal", "deal", "load", "uniforms"]

FEATURES: tuple[str, ...] = (
    *("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"),
    *("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"),
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
)
"""The 23 columns, in the file's order."""

_COLUMNS = ("ID", *FEATURES, "DEFAULT")
_FILE = "credit-default.csv.xz"
_MAX_BYTES = 1 << 28  # of text: a hundred times the file, so that a bomb of a few kilobytes does not fill the memory
_TEST_SHARE = 0.3
_LEAST = 2  # customers of each label that a bank needs in training and in test


@dataclass(frozen=True)
class Customers:
    """A table of customers.

    Attributes
    ----------
    x : ndarray of int64, shape (n, 23)
        The features, columns as in :data:`FEATURES`; dollars, codes, months and years.
    y : ndarray of int64, shape (n,)
        1 if the customer defaulted, else 0.

    Examples
    --------
    >>> customers = load()
    >>> customers.x.shape, int(customers.y.sum())
    ((30000, 23), 6636)
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class Deal:
    """Which bank each customer belongs to, and which customers are held back for the test.

    Attributes
    ----------
    bank : ndarray of int64, shape (n,)
        Index of each customer's bank.
    train : ndarray of bool, shape (n,)
        True for training, False for test.

    Examples
    --------
    >>> d = deal(load(), banks=10, seed=0)
    >>> len(set(d.bank.tolist())), round(float(d.train.mean()), 3)
    (10, 0.7)
    """

    bank: NDArray[np.int64]
    train: NDArray[np.bool_]


def uniforms(seed: int, label: str, n: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) that depend only on the seed and a label.

    Parameters
    ----------
    seed : int
        Any integer.
    label : str
        The purpose of the numbers; other labels give unrelated numbers.
    n : int
        How many.

    Returns
    -------
    ndarray of float64, shape (n,)
        Multiples of 2^-53, from SHAKE-256. For experiments that must repeat; not for secrets.

    Examples
    --------
    >>> uniforms(0, "example", 2).round(3).tolist() == uniforms(0, "example", 3)[:2].round(3).tolist()
    True
    """
    stream = hashlib.shake_256(f"bluetusk demo {seed} {label}".encode()).digest(8 * n)
    return (np.frombuffer(stream, dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


def load(path: str | Path | None = None, *, rows: int | None = None, seed: int = 0) -> Customers:
    """Read the customers.

    Parameters
    ----------
    path : str or Path, optional
        A CSV file with the columns ID, :data:`FEATURES` and DEFAULT, plain or xz-compressed. The default is the UCI
        data set "Default of Credit Card Clients" (I-Cheng Yeh, CC BY 4.0), which is part of the package.
    rows : int, optional
        Take only this number of customers, chosen by the seed.
    seed : int, optional
        Chooses the customers if `rows` is given.

    Returns
    -------
    Customers

    Raises
    ------
    ValueError
        If the file is damaged, lacks a column, holds a value that is not a whole number or a label other than 0 and 1,
        or has fewer than `rows` customers.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> load(rows=100).x.shape
    (100, 23)
    """
    file = Path(__file__).with_name(_FILE) if path is None else Path(path)
    raw = file.read_bytes()
    if raw.startswith(b"\xfd7zXZ\x00"):
        try:
            unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
            raw = unpacker.decompress(raw, max_length=_MAX_BYTES)
        except lzma.LZMAError as err:
            raise ValueError(f"{file} is damaged: {err}") from None
        if not unpacker.eof:
            raise ValueError(f"{file} is truncated or longer than {_MAX_BYTES} bytes")
    head, _, body = raw.partition(b"\n")
    if tuple(head.decode("utf-8", "replace").strip().split(",")) != _COLUMNS:
        raise ValueError(f"{file}: its first line must name the columns {','.join(_COLUMNS)}")
    try:
        table = np.loadtxt(body.decode("ascii").splitlines(), delimiter=",", dtype=np.int64, ndmin=2)
    except ValueError as err:
        raise ValueError(f"{file}: every value must be a whole number ({err})") from None
    if table.shape[1] != len(_COLUMNS) or not np.isin(table[:, -1], (0, 1)).all():
        raise ValueError(f"{file}: each line needs {len(_COLUMNS)} values, the last of them 0 or 1")
    if rows is not None:
        if rows > len(table):
            raise ValueError(f"rows must be at most the {len(table)} customers of {file}, not {rows}")
        table = table[np.sort(np.argsort(uniforms(seed, "rows", len(table)), kind="stable")[:rows])]
    return Customers(np.ascontiguousarray(table[:, 1:-1]), np.ascontiguousarray(table[:, -1]))


def deal(customers: Customers, *, banks: int, seed: int) -> Deal:
    """Deal customers to banks of uneven size, risk and clientele, and hold back 30 % of each bank's, by label, as test.

    Parameters
    ----------
    customers : Customers
        The customers to deal.
    banks : int
        Number of banks; the largest comes first and is about four times the smallest.
    seed : int
        Determines the deal.

    Returns
    -------
    Deal

    Raises
    ------
    ValueError
        If a bank would get too few customers of either label.

    Notes
    -----
    A customer goes to bank b with odds ``size_b * exp(risk_b * (2 y - 1) + taste_b * rank)``, where the rank, -1 .. 1,
    is that of the credit limit: so some banks see twice the default rate of others, and some only small limits.

    Examples
    --------
    >>> customers = load()
    >>> sizes = np.bincount(deal(customers, banks=4, seed=1).bank)
    >>> bool(sizes[0] > 2 * sizes[-1])
    True
    """
    n = len(customers.y)
    level = np.linspace(-1.0, 1.0, banks)
    size = np.linspace(4.0, 1.0, banks)
    risk = 0.35 * level[np.argsort(uniforms(seed, "risk", banks))]
    taste = 0.8 * level[np.argsort(uniforms(seed, "taste", banks))]
    rank = 2.0 * np.argsort(np.argsort(customers.x[:, 0], kind="stable"), kind="stable") / max(n - 1, 1) - 1.0
    odds = size * np.exp(np.outer(2.0 * customers.y - 1.0, risk) + np.outer(rank, taste))
    share = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    bank = (uniforms(seed, "bank", n)[:, None] >= share[:, :-1]).sum(axis=1, dtype=np.int64)

    train = np.ones(n, dtype=np.bool_)
    order = np.argsort(uniforms(seed, "split", n), kind="stable")
    for b in range(banks):
        for label in (0, 1):
            group = order[(bank[order] == b) & (customers.y[order] == label)]
            held_back = round(_TEST_SHARE * len(group))
            if min(held_back, len(group) - held_back) < _LEAST:
                raise ValueError(
                    f"{n} customers are too few for {banks} banks: bank {b + 1} has {len(group)} with label {label}"
                )
            train[group[:held_back]] = False
    return Deal(bank, train)
