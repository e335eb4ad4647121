"""A party's half of a boosted model: the settings and its part of every tree.

A tree of depth d has places 0 .. 2^(d+1) - 2; the children of place i are 2 i + 1 (left) and 2 i + 2. The guest knows
which party splits at each place, and the values of the leaves; about a host's split it knows nothing else. A host knows
its own splits and nothing about other places.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._numeric import Bools, Floats, Ints, as_bool, as_int, as_real
from ...errors import FrameError, ProtocolAbort
from ...wire.frame import check_fields
from ..protocol.link import array_from
from .arrays import described, joined, parted

__all__ = ["TYPES", "Half", "Settings", "bits_from", "credited", "extended", "probabilities"]

_COMMON = (
    *("n_estimators", "max_depth", "min_samples_leaf", "min_events", "min_others", "subsample", "first_tree_local"),
    *("share_gain", "learning_rate", "reg_lambda"),
)
_LATER = ("min_events", "min_others")
"""Settings that earlier models do not have: none held when those were trained."""

TYPES = {
    "party": "<i2",
    "feature": "<i4",
    "threshold": "<f8",
    "missing_left": "|u1",
    "value": "<f8",
    "gain": "<f8",
    "base": "<f8",
    "digests": "|u1",
}


@dataclass(frozen=True)
class Settings:
    """The parameters of a training, checked."""

    n_estimators: int
    max_depth: int
    learning_rate: float
    max_bins: int
    reg_lambda: float
    min_child_weight: float
    min_samples_leaf: int
    min_bucket_rows: int
    min_events: int
    min_others: int
    min_gain: float
    subsample: float
    base_score: float | None
    first_tree_local: bool
    share_gain: bool
    frac_bits: int
    key_size: int
    random_state: int | None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("n_estimators", 1, 10_000),
            ("max_depth", 1, 10),
            ("max_bins", 2, 255),
            ("min_samples_leaf", 1, 1 << 40),
            ("min_bucket_rows", 1, 1 << 40),
            ("min_events", 0, 1 << 40),
            ("min_others", 0, 1 << 40),
            ("frac_bits", 8, 30),
            ("key_size", 2048, 4096),
            ("random_state", 0, (1 << 63) - 1),
        ):
            value = getattr(self, name)
            if name != "random_state" or value is not None:
                object.__setattr__(self, name, as_int(value, name, low, high))
        for name, smallest, largest in (
            ("learning_rate", 0.0, 1e6),
            ("reg_lambda", 0.0, 1e12),
            ("min_child_weight", 0.0, 1e12),
            ("min_gain", 0.0, 1e12),
            ("subsample", 0.0, 1.0),
            ("base_score", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if name != "base_score" or value is not None:
                above = name in ("learning_rate", "subsample", "base_score")
                object.__setattr__(self, name, as_real(value, name, smallest, largest, above=above))
        if self.base_score == 1.0:
            raise ValueError("base_score is 1: it must be above 0 and below 1, or None")
        for name in ("first_tree_local", "share_gain"):
            object.__setattr__(self, name, as_bool(getattr(self, name), name))

    def to_fields(self) -> dict[str, Any]:
        """Return the settings for a header: floats in hexadecimal; settings that are None are left out."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {k: v.hex() if isinstance(v, float) else v for k, v in values.items() if v is not None}

    @classmethod
    def from_fields(cls, given: dict[str, Any]) -> Settings:
        """Read what :meth:`to_fields` made; FrameError if it is malformed."""
        names = [item.name for item in fields(cls)]
        optional = ("base_score", "random_state")
        check_fields(given, [name for name in names if name not in optional + _LATER], optional + _LATER)
        given = dict.fromkeys(_LATER, 0) | given
        try:
            values = {k: float.fromhex(v) if isinstance(v, str) else v for k, v in given.items()}
            made = cls(**{name: values.get(name) for name in names})  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError) as error:
            raise FrameError(f"the settings of the model are invalid: {error}") from None
        if any(made.to_fields().get(name) != value for name, value in given.items()):
            raise FrameError("the settings of the model must be in canonical form: floats in hexadecimal")
        return made

    def agreed(self) -> dict[str, Any]:
        """Return the settings that must be equal at all parties."""
        everything = self.to_fields()
        return {name: everything[name] for name in (*_COMMON, "frac_bits", "key_size")}

    def check_agreed(self, theirs: dict[str, Any], party: str) -> None:
        """Raise ProtocolAbort if the guest's settings differ."""
        mine = self.agreed()
        check_fields(theirs, list(mine))
        for name, value in mine.items():
            if theirs[name].__class__ is not value.__class__ or theirs[name] != value:
                raise ProtocolAbort(f"the parties have different values of {name}: agree on one first", party=party)

    def sample_of(self, rows: int) -> int:
        """Return the size of a tree's sample.

        A sample leaves out no row or `min_bucket_rows`: with fewer, the sums of two trees would differ in fewer rows
        than a bucket may have, even if nobody chose the samples.

        Parameters
        ----------
        rows : int
            Rows of the training.

        Raises
        ------
        ValueError
            If a sample would leave out fewer rows.
        """
        size, least = max(1, int(self.subsample * rows)), self.min_bucket_rows
        if 0 < rows - size < least:
            fewer = f"at most 1 - {least}/{rows}, or 1," if rows > least else "1"
            raise ValueError(
                f"subsample is {self.subsample:g}: samples of {size} of {rows} rows leave out {rows - size}, below "
                f"min_bucket_rows={least}, so the sums of two trees would show these rows: set subsample to {fewer} at "
                "all parties, or lower min_bucket_rows"
            )
        return size

    @property
    def places(self) -> int:
        """Return the number of places of a tree."""
        return int((2 << self.max_depth) - 1)


@dataclass
class Half:
    """One party's part of the trees; every array has shape (trees, places) and grows by one tree at a time.

    Attributes
    ----------
    party : ndarray of int16
        The party that splits at a place: -1 none, 0 this party, from 1 on the hosts (at the guest).
    feature : ndarray of int32
        The column of this party's splits, else -1.
    threshold : ndarray of float64
        Rows with values up to it go left.
    missing_left : ndarray of uint8
        Whether missing values go left.
    value : ndarray of float64
        The value that a leaf adds to the log-odds (guest).
    gain : ndarray of float64
        Gain of the splits: all at the guest; at a host those that the guest sent.
    base : ndarray of float64, shape (1,)
        The log-odds before the first tree (guest).
    digests : ndarray of uint8, shape (peers, 32)
        A hash over all partitions that a host sent, kept by both: it is equal in halves that belong together.
    serial : bytes
        At a host, what tells its training from others with the same trees, and keys its book of scored rows; empty in
        halves of versions without books.
    """

    party: NDArray[np.int16]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.uint8]
    value: NDArray[np.float64]
    gain: NDArray[np.float64]
    base: NDArray[np.float64]
    digests: NDArray[np.uint8]
    serial: bytes = b""

    @property
    def secret(self) -> bytes:
        """See :class:`~bluetusk.vertical.book.Secretive`."""
        return b"trees" + self.serial + joined(self.arrays())

    @property
    def name(self) -> bytes:
        """The name of a host's training, for its book of scored rows."""
        return hashlib.sha256(b"bluetusk trees" + self.serial + self.digests.tobytes()).digest()

    @classmethod
    def empty(cls, trees: int, places: int, peers: int, base: float = 0.0) -> Half:
        """Return trees without splits."""
        shape = (trees, places)
        return cls(
            np.full(shape, -1, np.int16),
            np.full(shape, -1, np.int32),
            np.zeros(shape),
            np.zeros(shape, np.uint8),
            np.zeros(shape),
            np.zeros(shape),
            np.array([base]),
            np.zeros((peers, 32), np.uint8),
        )

    def extended_by(self, tree: Half) -> Half:
        """Return these trees followed by another half's, with that half's digests."""
        names = ("party", "feature", "threshold", "missing_left", "value", "gain")
        both = {name: np.concatenate([getattr(self, name), getattr(tree, name)]) for name in names}
        return Half(**both, base=self.base, digests=tree.digests, serial=self.serial)

    def goes_left(self, tree: int, place: int, table: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which rows one of this party's own splits sends left."""
        column = table[:, self.feature[tree, place]]
        missing = np.isnan(column)
        return np.asarray(
            np.where(missing, bool(self.missing_left[tree, place]), column <= self.threshold[tree, place])
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name."""
        return {name: np.asarray(getattr(self, name)) for name in TYPES}

    def to_parts(self) -> tuple[list[Any], bytes]:
        """Return what a header lists, and the payload."""
        return described(self.arrays()), joined(self.arrays())

    @classmethod
    def from_parts(cls, listed: list[Any], payload: bytes | memoryview, settings: Settings, features: int) -> Half:
        """Read and check a half: every walk stays within the trees, and every split names an existing column."""
        arrays: dict[str, Any] = parted(listed, payload, TYPES)
        half = cls(**arrays)
        half.check(settings, features)
        return half

    def check(self, settings: Settings, features: int) -> None:
        """Raise FrameError if anything is out of range."""
        places = settings.places
        shape = (len(self.party), places)
        tables = [getattr(self, name) for name in ("party", "feature", "threshold", "missing_left", "value", "gain")]
        inner = (1 << settings.max_depth) - 1
        own = self.party == 0
        good = (
            all(a.shape == shape for a in tables)
            and self.base.shape == (1,)
            and self.digests.ndim == 2
            and self.digests.shape[1] == 32
            and len(self.party) <= settings.n_estimators
        )
        good = good and bool(
            (self.party >= -1).all()
            and (self.party <= len(self.digests)).all()
            and (self.party[:, inner:] == -1).all()
            and ((self.feature >= 0) == own).all()
            and (self.feature < features).all()
            and (self.missing_left <= 1).all()
            and all(np.isfinite(a).all() for a in (self.threshold, self.value, self.gain, self.base))
        )
        if not good:
            raise FrameError("the trees are damaged: an entry is out of range")


def extended(digest: NDArray[np.uint8], tree: int, place: int, left: Bools) -> NDArray[np.uint8]:
    """Return the digest of a host's partitions extended by one more."""
    head = f"bluetusk/gradient-boosting/{tree}/{place}/{len(left)}/".encode()
    return np.frombuffer(
        hashlib.sha256(digest.tobytes() + head + np.packbits(left).tobytes()).digest(), np.uint8
    ).copy()


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-score)); below -709 the exponential is infinite, and the result 0 is correct."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-scores)))


def bits_from(part: bytes | memoryview, count: int) -> Bools:
    """Return booleans packed eight to a byte; FrameError if there are too few bytes, or an unused bit is not 0."""
    packed = array_from(part, "|u1", (-(-count // 8),))
    found = np.unpackbits(packed).astype(np.bool_)
    if found[count:].any():
        raise FrameError("the unused bits of a partition must be 0")
    return found[:count]


def credited(half: Half, leaves: Ints, columns: int, hosts: int) -> Floats:
    """Return the contributions of :meth:`~.estimator.GradientBoosting.contributions`, from checked leaves."""
    n = len(leaves)
    out = np.zeros((n, columns + hosts))
    rows = np.arange(n)
    for tree, owner in enumerate(half.party):
        at = leaves[:, tree]
        reached, total = np.zeros(len(owner)), np.zeros(len(owner))
        here, value = at, half.value[tree][at]
        while len(here):  # level by level, all rows that are not yet at the root
            reached += np.bincount(here, minlength=len(owner))
            total += np.bincount(here, value, len(owner))
            inner = here > 0
            here, value = (here[inner] - 1) // 2, value[inner]
        mean = total / np.maximum(reached, 1)
        here, who = at, rows
        while len(here := here[(inner := here > 0)]):
            who, above = who[inner], (here - 1) // 2
            split = owner[above]
            column = np.where(split > 0, columns + split - 1, half.feature[tree][above])
            out[who, column] += mean[here] - mean[above]  # each row stands once in a level
            here = above
    return out
