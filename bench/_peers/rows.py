"""The rows of the table, each with the target that the project set itself, and what reaching one means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

OURS = "Bluetusk"
RIVALS = ("gmpy2", "one thread")  # what is measured in our own process, in place of a peer
TARGET_BITS = 2048  # the key size for which the microseconds of the targets hold; the ratios hold for every size


@dataclass(frozen=True)
class Row:
    """One operation.

    `key` is unique; up to " #" it is what the worker calls the operation. `n` says how many values to take at once
    where a library can, `limit` how long a call may be in seconds: a slower library takes fewer, its cost per value
    being the same. `rival` is what our own process does in place of the peers. `against` names the row whose peers this
    one is compared with, where they have nothing like it.
    """

    key: str
    title: str
    unit: str
    n: int = 1
    limit: float = 0.1
    window: float = 0.02
    clock: str = "cpu"
    rival: tuple[str, str] | None = None
    against: str | None = None
    ours_only: bool = False
    batch: bool = False  # whether n is what the row is about
    judge: str = "best_us"  # the figure that is compared with the target; key generation is a search: its median
    target_us: float | None = None
    target_bytes: float | None = None
    target_table: float | None = None  # MiB of a key's table
    ratios: Mapping[str, float] = field(default_factory=dict)  # the least ratio, by peer or rival

    @property
    def operation(self) -> str:
        """The operation's name for the worker."""
        return self.key.partition(" #")[0]

    def target(self, bits: int) -> str:
        """The target in words."""
        parts = [f"<= {show(self.target_us)} us"] if self.target_us and bits == TARGET_BITS else []
        parts += [f"<= {self.target_bytes:.0f} B"] if self.target_bytes and bits == TARGET_BITS else []
        parts += [f"<= {self.target_table:g} MiB"] if self.target_table else []
        by_ratio: dict[float, list[str]] = {}
        for name, ratio in self.ratios.items():
            by_ratio.setdefault(ratio, []).append(name)
        parts += [f">= {ratio:g}x {', '.join(names)}" for ratio, names in by_ratio.items()]
        return "; ".join(parts)


def show(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _threads(key: str, title: str, n: int) -> Row:
    return Row(
        f"{key} @2",
        f"two threads: {title}",
        "value" if key != "rows" else "multiply-add",
        n,
        limit=0.5,
        window=0.1,
        clock="wall",
        rival=("one thread", f"{key} @1"),
        ratios={"one thread": 1.85},
    )


def _powers(bits: int, ratio: float) -> Row:
    return Row(
        f"powers of {bits}",
        f"batch powers, {bits}-bit modulus, 1024-bit exponent",
        "power",
        rival=("gmpy2", f"powers of {bits} gmpy2"),
        ratios={"gmpy2": ratio},
    )


ROWS: tuple[Row, ...] = (
    Row("encrypt", "encrypt, public key", "value", 64, target_us=280, ratios={"HEU": 1.95, "pypaillier": 3.3}),
    Row(
        "encrypt_owner",
        "encrypt, key owner, checked, 512 at a time",
        "value",
        512,
        limit=0.4,
        against="encrypt",
        target_us=210,
        ratios={"HEU": 2.6},
    ),
    Row("encrypt_packed", "encrypt a gradient, 32-bit slots", "gradient", target_us=5, ratios={"HEU": 50}),
    Row("decrypt", "decrypt", "value", 64, target_us=1100, ratios={"HEU": 2, "pypaillier": 3.8}),
    Row("add", "c + c", "value", target_us=1.8, ratios={"HEU": 1.9}),
    Row("sum", "sum of a vector", "value", target_us=1.7, ratios={"HEU": 2.9, "FATE 2": 2.9}),
    Row("histogram", "histogram, 16 bins", "value", target_us=1.7, ratios={"HEU": 2.9, "FATE 2": 2.9}),
    Row("scale", "c * signed 40-bit", "value", 64, target_us=90, ratios={"pypaillier": 3, "phe": 3, "HEU": 3}),
    Row(
        "matvec",
        "128 x 1000 matrix of signed 40-bit @ c",
        "multiply-add",
        target_us=11,
        ratios={"FATE 2": 36, "phe": 36, "HEU": 36},
    ),
    Row("keygen", "key generation", "key", window=0.3, target_us=100_000, ratios={"HEU": 10}, judge="median_us"),
    Row(
        "load",
        "load a public key, ready to encrypt",
        "key",
        target_us=45_000,
        target_table=8,
        ratios={"HEU": 3.6, "pypaillier": 3.6},
    ),
    Row("table", "of which the table of powers", "key", ours_only=True),
    Row("prove", "prove a modulus", "key", ours_only=True, target_us=10_000),
    Row("verify", "verify the proof of a modulus", "key", ours_only=True, target_us=25_000),
    Row("serialise", "serialise, fresh", "value", target_us=1, target_bytes=520),
    Row("parse", "parse and check", "value", target_us=1),
    _threads("encrypt", "encrypt", 256),
    _threads("decrypt", "decrypt", 128),
    _threads("scale", "c * signed 40-bit", 256),
    _threads("rows", "32 x 1000 matrix @ c", 1),
    _powers(2048, 3.0),
    _powers(3072, 3.3),
    _powers(4096, 3.5),
    *(
        Row(f"{operation} #{n}", f"{operation}, {n} at a time", "value", n, limit=limit, batch=True)
        for operation in ("encrypt", "decrypt")
        for n, limit in ((1, 0.1), (4, 0.1), (16, 0.1), (1000, 0.4))
    ),
    Row("encrypt_owner #64", "encrypt, key owner, 64 at a time", "value", 64, batch=True, ours_only=True),
    Row("encrypt_pool", "encrypt with obfuscators made ahead", "value", 64, ours_only=True),
)


def chosen(words: Iterable[str] | None) -> list[Row]:
    """The rows whose title or key contains one of the words; all if there are none."""
    if not words:
        return list(ROWS)
    return [row for row in ROWS if any(word.lower() in f"{row.title} {row.key}".lower() for word in words)]


Figures = Mapping[str, Mapping[str, float]]


def ratios(row: Row, figures: Figures, others: Figures, judge: str | None = None) -> dict[str, float]:
    """How many times as long as ours each library takes; `others` are the figures of the row `against`."""
    judge = judge or row.judge
    ours = figures[OURS][judge]
    return {name: f[judge] / ours for name, f in {**others, **figures}.items() if name != OURS}


def best_peer(ratio: Mapping[str, float]) -> str | None:
    """The fastest of the others."""
    return min(ratio, key=lambda name: ratio[name], default=None)


def misses(
    row: Row, figures: Figures, others: Figures, bits: int, facts: Mapping[str, float | None] | None = None
) -> list[str]:
    """Return the missed parts of the row's target, in words; unmeasured figures miss nothing."""
    said = []
    facts = facts or {}
    size, table = facts.get("bytes"), facts.get("table_bytes")
    ours, ratio = figures[OURS][row.judge], ratios(row, figures, others)
    if bits == TARGET_BITS and row.target_us and ours > row.target_us:
        said.append(f"{show(ours)} us, target {show(row.target_us)}")
    if bits == TARGET_BITS and row.target_bytes and size and size > row.target_bytes:
        said.append(f"{size:.0f} bytes, target {row.target_bytes:.0f}")
    if row.target_table and table and table > row.target_table * 2**20:
        said.append(f"{table / 2**20:.1f} MiB, target {row.target_table:g}")
    said += [
        f"{ratio[name]:.2f}x {name}, target {least:g}x"
        for name, least in row.ratios.items()
        if name in ratio and ratio[name] < least
    ]
    return said
