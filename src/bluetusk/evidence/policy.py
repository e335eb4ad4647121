"""A data owner's policy: written by a person in TOML or JSON, signed as one canonical frame."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import _toml
from .._spelling import did_you_mean
from ..errors import FrameError, PolicyRefused
from ..wire import frame
from ._uses import MOST_COLUMNS
from .identity import Identity, signature_holds

__all__ = ["EXAMPLE", "REVEALS", "UNLIMITED", "Grant", "Policy", "is_fingerprint", "seconds_text"]

_FIELDS = ("format", "grants", "issued", "key", "owner", "revoked", "serial", "signature")
_FORMAT = 2
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PEER = re.compile(r"[0-9a-f]{64}")
_GROUPS = re.compile(r"[0-9a-f]{4}(-[0-9a-f]{4}){15}")
_LARGEST_FILE = 1 << 20
_LATEST = 1 << 40  # seconds

UNLIMITED = 1 << 48
"""The value of a clause that limits nothing; a person writes "unlimited"."""
REVEALS = ("coefficients", "scores", "woe")
"""What may open exactly if `reveal` names it."""

EXAMPLE = """\
# Who may use which of our columns, for what, how often, until when. Sign it:
#   bluetusk evidence policy sign policy.toml --key owner.key
# A clause left out has the value shown here; those before min_rows have none and must be there.
owner = "payment-network"
serial = 1                          # a policy replaces those with a lower serial
revoked = []                        # ids of grants, or fingerprints of peers, that are no longer valid

[[grants]]
id = "bank-2026"                    # uses are counted under this id, also after the policy is replaced
peer = "PASTE-THE-FINGERPRINT-HERE" # as bluetusk evidence fingerprint FILE prints it
name = "bank"
purposes = ["intersect", "binning", "logistic_regression", "gradient_boosting", "predict"]
columns = ["id", "PAY_0", "BILL"]   # or ["*"] for all; "id" is what intersect and blacklist match; at the owner of
                                    # the labels also "label"
uses = 20                           # tasks in all
until = 2027-01-01T00:00:00Z

# Least sizes. A group is a bin, a bucket or a node whose sums are shown. A group of one row, or one without an event,
# names labels: at a rate of 0.6 % bins of 50 rows without an event give away most labels, all of them "no event".
# The side that knows the counts enforces min_events and min_others: they do not bind it if it cheats.
min_rows = 50                       # rows of a group
min_events = 5                      # events in a group
min_others = 5                      # others in a group
min_intersection = 500              # rows of a joint task
min_total_events = 100              # events among them; the owner of the labels checks it

# Ids can be guessed and tried one by one.
max_ids_per_request = 30000         # ids in one intersect or blacklist request; without the clause none
max_ids_total = 100000              # and all of them together; without the clause none

# Most that is shown, by its kind. "unlimited" lifts a clause.
max_bins = 16                       # bins of a column
max_trees = 20                      # trees of a boosting. A cheating owner of labels reads the buckets of some 300 rows
                                    # from each tree and cut, whatever the least sizes are
max_depth = 4                       # levels of splits in a tree
max_cuts = 640                      # cuts of all columns together, twice where values are missing

# Most that the peer learns in all, over tasks, runs, restarts, grants and policies, of whichever rows; never reset.
max_columns = 64                    # different columns
max_models = 8                      # models that score rows; a run takes 3. Points tell at most 10 bits a row and
                                    # model. On the table of `bluetusk demo credit` a peer that is given all
                                    # weights guesses 32 % of the bins of 18 columns (without points 29 %; with other
                                    # customers' bins 40 %); of 5 columns 67 % (without 54 %), from 16 models 96 %
max_rows_scored = 100000            # rows that each model scores
max_sums = 250000                   # sums over rows. 255 chosen exact sums fix 1 024 labels; at a rate of 0.6 %,
                                    # linear programming finds all events from 5 % as many sums as rows, though each
                                    # sum is over 5 events and more
max_bits = 5000000                  # bits about rows

# What opens exactly: "woe" (weights of evidence to the owner of the columns), "coefficients", "scores". Each holds sums
# over labels or columns with all their digits, so by default nothing does.
reveal = []

# Whether rows may come with other labels than in an earlier task. Two binnings of labels that differ in one row name
# the bins of that row, whatever the least sizes are.
second_labels = false
"""


@dataclass(frozen=True)
class Grant:
    """What one peer may do.

    Attributes
    ----------
    id : str
        Under which uses are counted, also by later policies with the same id.
    peer : str
        The peer's :func:`fingerprint`, 64 hexadecimal digits; given in groups (:func:`fingerprint_groups`), it is kept
        without the hyphens.
    purposes : tuple of str
        "intersect", "binning", "logistic_regression", "gradient_boosting", "predict", "blacklist", or others.
    columns : tuple of str
        Names of columns; ("*",) for all.
    uses : int
        How many tasks.
    until : int
        Seconds since 1970, UTC: the grant holds before that.
    not_before : int
        Seconds since 1970, UTC; 0 by default.
    min_rows, min_events, min_others : int
        Least rows, events and others of a group (bin, bucket, node) whose sums are shown.
    min_intersection, min_total_events : int
        Least rows of a joint task, and least events among them.
    max_ids_per_request, max_ids_total : int
        How many ids an "intersect" or "blacklist" task, and all of them, may request; 0 by default: none.
    max_bins : int
        Bins of a column.
    max_trees, max_depth, max_cuts : int
        Trees, levels of splits, and cuts of all columns together in one boosting.
    max_columns, max_models, max_rows_scored, max_sums, max_bits : int
        The most that the peer may learn in all its tasks, under whichever grants and policies and of whichever rows:
        different columns, models that score, rows scored by each of them, sums over rows, bits about rows.
    reveal : tuple of str
        What opens exactly: any of "woe", "coefficients", "scores"; by default nothing.
    second_labels : bool
        Whether rows may come with other labels than in an earlier task; by default not.
    name : str
        The peer's name, for people.

    Raises
    ------
    ValueError
        Naming the clause that is malformed or out of range.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.evidence.Grant("g1", "5a" * 32, ("binning",), ("AGE",), uses=3, until=2_000_000_000).min_rows
    50
    """

    id: str
    peer: str
    purposes: tuple[str, ...]
    columns: tuple[str, ...]
    uses: int
    until: int
    not_before: int = 0
    min_rows: int = 50
    min_events: int = 5
    min_others: int = 5
    min_intersection: int = 500
    min_total_events: int = 100
    max_ids_per_request: int = 0
    max_ids_total: int = 0
    max_bins: int = 16
    max_trees: int = 20
    max_depth: int = 4
    max_cuts: int = 640
    max_columns: int = 64
    max_models: int = 8
    max_rows_scored: int = 100_000
    max_sums: int = 250_000
    max_bits: int = 5_000_000
    reveal: tuple[str, ...] = ()
    second_labels: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not 0 < len(self.id) <= 64:
            raise ValueError("id of a grant must be a text of 1 to 64 characters")
        where = f"of grant {self.id!r}"
        object.__setattr__(self, "peer", _plain(self.peer))
        if not is_fingerprint(self.peer):
            raise ValueError(
                f"peer {where} must be a fingerprint as `bluetusk evidence fingerprint FILE` prints it, 64 hexadecimal "
                "digits (a-f in small letters)"
            )
        if not isinstance(self.name, str) or len(self.name) > 128:
            raise ValueError(f"name {where} must be a text of at most 128 characters")
        for key in ("purposes", "columns"):
            values = getattr(self, key)
            if not isinstance(values, tuple) or not values or not all(isinstance(v, str) and v for v in values):
                raise ValueError(f"{key} {where} must be a list of at least one text")
            if any(len(value) > 256 for value in values):
                raise ValueError(f"{key} {where} must hold texts of at most 256 characters")
        for purpose in self.purposes:
            if not _WORD.fullmatch(purpose):
                raise ValueError(f"purposes {where}: {purpose!r} must be a word of a-z, 0-9 and _")
        if not isinstance(self.reveal, tuple) or any(name not in REVEALS for name in self.reveal):
            raise ValueError(f"reveal {where} must be a list of any of {', '.join(map(repr, REVEALS))}")
        if type(self.second_labels) is not bool:
            raise ValueError(f"second_labels {where} must be true or false")
        if len(set(self.reveal)) != len(self.reveal):
            raise ValueError(f"reveal {where} names one thing twice")
        object.__setattr__(self, "reveal", tuple(sorted(self.reveal)))
        limits = {"uses": (1, 1 << 48), "until": (1, _LATEST), "not_before": (0, _LATEST)}
        limits |= {name: (int(name in ("min_rows", "min_intersection")), UNLIMITED) for name in _LIMITS}
        for key, (low, high) in limits.items():
            value = getattr(self, key)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{key} {where} must be a whole number from {low} to 2^{high.bit_length() - 1}")
        if MOST_COLUMNS < self.max_columns < UNLIMITED:
            raise ValueError(f'max_columns {where} must be at most {MOST_COLUMNS}, or "unlimited"')
        if self.until <= self.not_before:
            raise ValueError(f"until {where} must be later than not_before")


_GRANT = tuple(f.name for f in fields(Grant))
_NEEDED = _GRANT[:6]
_LIMITS = tuple(name for name in _GRANT if name.startswith(("min_", "max_")))
_LIFTED = tuple(name for name in _LIMITS if name.startswith("max_") and "_ids_" not in name)


def is_fingerprint(text: object) -> bool:
    """Tell whether this is a fingerprint, as policies keep it.

    Examples
    --------
    >>> is_fingerprint("5a" * 32), is_fingerprint("bank-2026")
    (True, False)
    """
    return isinstance(text, str) and _PEER.fullmatch(text) is not None


def _plain(text: Any) -> Any:
    """Take the hyphens out of a fingerprint in groups; leave anything else as it is."""
    return text.replace("-", "") if isinstance(text, str) and _GROUPS.fullmatch(text) else text


@dataclass(frozen=True)
class Policy:
    """A data owner's policy; what it does not grant is refused.

    Made by :meth:`load` from a file that a person wrote, or a signed one; a :class:`Guard` takes signed ones only.

    Attributes
    ----------
    owner : str
        The owner's name.
    serial : int
        A higher serial replaces a lower one.
    grants : tuple of Grant
        What is allowed.
    revoked : tuple of str
        Ids of grants, or fingerprints of peers, that are no longer valid.
    issued : int
        When it was signed, seconds since 1970, UTC; 0 before.
    key, signature : bytes
        The owner's Ed25519 key and the signature; empty before.

    References
    ----------
    JR/T 0196-2020: every use is authorised by the provider of the data beforehand.

    Examples
    --------
    >>> import bluetusk as bt
    >>> owner = bt.evidence.Identity.generate()
    >>> grant = bt.evidence.Grant("g1", "5a" * 32, ("binning",), ("AGE",), uses=3, until=2_000_000_000)
    >>> policy = bt.evidence.Policy("payment-network", 1, (grant,)).sign(owner)
    >>> policy.signed_by(owner.public_key), bt.evidence.Policy.from_bytes(policy.to_bytes()) == policy
    (True, True)
    """

    owner: str
    serial: int
    grants: tuple[Grant, ...]
    revoked: tuple[str, ...] = ()
    issued: int = 0
    key: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "revoked", tuple(map(_plain, self.revoked)))
        if not isinstance(self.owner, str) or not 0 < len(self.owner) <= 128:
            raise ValueError("owner must be a text of 1 to 128 characters")
        if type(self.serial) is not int or not 0 < self.serial <= 1 << 48:
            raise ValueError("serial must be a whole number from 1 to 2^48")
        ids = [grant.id for grant in self.grants]
        if len(set(ids)) != len(ids):
            raise ValueError("the ids of the grants must differ: uses are counted under them")
        if not all(isinstance(text, str) and 0 < len(text) <= 64 for text in self.revoked):
            raise ValueError("revoked must list ids of grants or fingerprints of peers, at most 64 characters each")

    def sign(self, identity: Identity, *, issued: int | None = None) -> Policy:
        """Return the policy with the owner's signature.

        Parameters
        ----------
        identity : Identity
            The owner's.
        issued : int, optional
            Seconds since 1970, UTC; now by default.

        Returns
        -------
        Policy

        Examples
        --------
        >>> import bluetusk as bt
        >>> len(bt.evidence.Policy("owner", 1, ()).sign(bt.evidence.Identity.generate()).signature)
        64
        """
        at = int(datetime.now(timezone.utc).timestamp()) if issued is None else issued
        draft = replace(self, issued=at, key=identity.public_key, signature=b"")
        return replace(draft, signature=identity.sign(draft._unsigned()))

    def signed_by(self, key: bytes) -> bool:
        """Return whether this key has signed the policy.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Policy("owner", 1, ()).signed_by(bytes(32))
        False
        """
        return bool(self.signature) and self.key == key and signature_holds(key, self.signature, self._unsigned())

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed frame: what a log notes of a policy.

        Examples
        --------
        >>> import bluetusk as bt
        >>> len(bt.evidence.Policy("owner", 1, ()).sign(bt.evidence.Identity.generate()).digest)
        32
        """
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Return the signed policy as a frame of kind POLICY.

        Raises
        ------
        ValueError
            If it is not signed yet, or too large for one frame.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Policy("owner", 1, ()).sign(bt.evidence.Identity.generate()).to_bytes()[:4]
        b'BTK1'
        """
        if not self.signature:
            raise ValueError("the policy is not signed: call sign(identity) first")
        return frame.encode(frame.Kind.POLICY, {**self._header(), "signature": self.signature})

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Policy:
        """Read a signed policy; the caller must check by :meth:`signed_by` whose key has signed it.

        Raises
        ------
        FrameError
            If `data` is not the frame of a policy.
        PolicyRefused
            With the clause "signature", if it does not bear a signature of the key that it names; "format", if it was
            signed before policies had clauses for events, sums and bits: those would have to be invented, and an owner
            has signed no invented limit.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.evidence.Policy.from_bytes(b"")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: frame is truncated: ...
        """
        header = frame.decode(data, frame.Kind.POLICY, max_payload=0).header
        frame.check_fields(header, _FIELDS)
        if frame.field(header, "format", int, choices=(1, _FORMAT)) != _FORMAT:
            raise PolicyRefused(
                "it is of format 1, signed before there were clauses for events, sums and bits: sign its TOML file "
                "again, with a higher serial and to a new file (bluetusk evidence policy sign FILE --output NEW)",
                clause="format",
            )
        grants = []
        for entry in frame.field(header, "grants", list, items=dict):
            frame.check_fields(entry, _GRANT)
            grants.append(_frame_grant(entry))
        try:
            policy = cls(
                frame.field(header, "owner", str),
                frame.field(header, "serial", int),
                tuple(grants),
                tuple(frame.field(header, "revoked", list, items=str)),
                frame.field(header, "issued", int, low=0, high=_LATEST),
                frame.field(header, "key", bytes, length=32),
                frame.field(header, "signature", bytes, length=64),
            )
        except ValueError as error:
            raise FrameError(f"frame does not hold a valid policy: {error}") from None
        if not policy.signed_by(policy.key):
            raise PolicyRefused("it is not signed by the key that it names: get it from its owner", clause="signature")
        return policy

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        r"""Read a policy: a signed one, or one that a person wrote in TOML or (name ending in .json) in JSON.

        Parameters
        ----------
        path : path-like
            The file, at most 1 MiB.

        Returns
        -------
        Policy
            Signed or not, as the file is.

        Raises
        ------
        ValueError
            If a clause is missing, unknown or malformed: naming it.
        FrameError, PolicyRefused
            As :meth:`from_bytes`.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import bluetusk as bt, pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "policy.toml")
        ...     _ = path.write_text('owner = "network"\nserial = 1\ngrants = []')
        ...     bt.evidence.Policy.load(path)
        Policy(owner='network', serial=1, grants=(), revoked=(), issued=0)
        """
        with open(path, "rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"{os.fspath(path)} has more than {_LARGEST_FILE} bytes: too large for a policy")
        if data.startswith(frame.MAGIC):
            return cls.from_bytes(data)
        if Path(path).suffix.lower() != ".json":
            return _from_person(_toml.load(path))
        try:
            given = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{os.fspath(path)} is not a JSON file: {error}") from None
        return _from_person(given)

    def _header(self) -> dict[str, Any]:
        grants = []
        for grant in self.grants:
            entry = {name: getattr(grant, name) for name in _GRANT}
            grants.append({name: list(v) if isinstance(v, tuple) else v for name, v in entry.items()})
        return {
            "format": _FORMAT,
            "owner": self.owner,
            "key": self.key,
            "serial": self.serial,
            "issued": self.issued,
            "grants": grants,
            "revoked": list(self.revoked),
        }

    def _unsigned(self) -> bytes:
        return frame.encode(frame.Kind.POLICY, self._header())


def seconds_text(seconds: int) -> str:
    """Write seconds since 1970, UTC, as RFC 3339."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"


def _frame_grant(entry: Mapping[str, Any]) -> Grant:
    if not is_fingerprint(entry["peer"]):
        raise FrameError("frame does not hold a valid policy: a peer's fingerprint has 64 hexadecimal digits")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
    try:
        return Grant(**values)
    except ValueError as error:
        raise FrameError(f"frame does not hold a valid policy: {error}") from None


def _from_person(given: Any) -> Policy:
    if not isinstance(given, dict):
        raise ValueError("a policy is a table of clauses: see `bluetusk evidence policy example`")
    _clauses(given, ("owner", "serial", "grants"), ("revoked",), "the policy")
    grants = []
    for entry in given["grants"] if isinstance(given["grants"], list) else [None]:
        if not isinstance(entry, dict):
            raise ValueError("grants must be a list of tables, [[grants]] in TOML")
        _clauses(entry, _NEEDED, _GRANT[6:], f"grant {entry.get('id', '?')!r}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
        for name in ("until", "not_before"):
            if name in values:
                values[name] = _seconds(values[name], name)
        values |= {name: UNLIMITED for name in _LIFTED if values.get(name) == "unlimited"}
        grants.append(Grant(**values))
    revoked = given.get("revoked", [])
    if not isinstance(revoked, list):
        raise ValueError("revoked must be a list of texts")
    return Policy(given["owner"], given["serial"], tuple(grants), tuple(revoked))


def _clauses(given: Mapping[str, Any], needed: tuple[str, ...], more: tuple[str, ...], where: str) -> None:
    for name in given:  # before those that lack: a clause that is misspelt lacks as well
        if name not in needed and name not in more:
            close = did_you_mean(name, (*needed, *more)) or f"; there are {', '.join((*needed, *more))}"
            raise ValueError(f"{where} has the unknown clause {name!r}{close}")
    for name in needed:
        if name not in given:
            raise ValueError(f"{where} lacks the clause {name!r}: see `bluetusk evidence policy example`")


def _seconds(value: Any, name: str) -> int:
    """Read a time of a person: an aware datetime, RFC 3339 text, or seconds since 1970."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            value = None
    if type(value) is int:
        return value
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{name} must be a time with its zone, such as 2027-01-01T00:00:00Z")
    return int(value.timestamp())
