"""Reads and checks a party's configuration file."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ... import _toml
from ..._spelling import did_you_mean
from ...paillier.validate import KEY_BITS
from ..align.common import MAX_PEER_IDS, MAX_ROWS
from ..base import check_role
from ..evaluation.words import LANGUAGES
from ..tables.cells import number_reader
from ..tables.dates import SINCE, check_dates
from ..tables.files import check_delimiter
from ..tables.sniffing import check_encoding
from .waiting import QUOTA

__all__ = ["Config", "Data", "Evidence", "Model", "check_bounds", "evidence_of", "made_from"]

T = TypeVar("T")

REVEALED = ("coefficients", "scores", "woe")
"""Exact forms of results, which both policies must grant."""

_MOST_QUOTA = 1 << 50

SECTIONS = ("data", "evidence", "model", "score")  # the last is for `bluetusk score`


@dataclass(frozen=True)
class Model:
    """The parameters of the models; the same at both parties, who compare them before they begin."""

    key_size: int = 3072
    test_share: float = 0.3
    seed: int = 0
    min_intersection: int = 500
    min_total_events: int = 100
    max_bins: int = 10
    min_rows: int = 50
    min_events: int = 5
    min_others: int = 5
    min_iv: float = 0.0
    reveal: tuple[str, ...] = ()
    epochs: int | None = None  # None: the default of LogisticRegression for the number of rows; 0: no regression
    batch_size: int | None = None
    learning_rate: float | None = None
    l2: float = 0.001
    sigmoid: str = "linear"
    trees: int = 10
    depth: int = 3
    tree_rate: float = 0.4
    tree_bins: int = 32
    min_bucket_rows: int = 50

    def __post_init__(self) -> None:
        ranges = {
            "test_share": (0.01, 0.9),
            "seed": (0, 2**32 - 1),
            "min_intersection": (1, 2**40),
            "min_total_events": (0, 2**40),
            "max_bins": (2, 255),
            "min_rows": (1, 2**40),
            "min_events": (0, 2**40),
            "min_others": (0, 2**40),
            "min_iv": (0.0, 100.0),
            "epochs": (0, 1000),
            "batch_size": (1, 65536),
            "learning_rate": (2**-20, 64.0),
            "l2": (0.0, 1.0),
            "trees": (0, 1000),
            "depth": (1, 10),
            "tree_rate": (1e-6, 10.0),
            "tree_bins": (2, 255),
            "min_bucket_rows": (1, 2**40),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"model.{name} must be between {low:g} and {high:g}, not {value}")
        if self.key_size not in KEY_BITS:
            raise ValueError(f"model.key_size must be one of {', '.join(map(str, KEY_BITS))}, not {self.key_size}")
        for name in self.reveal:
            if name not in REVEALED:
                raise ValueError(f"model.reveal names {name!r}: it may hold {', '.join(map(repr, REVEALED))}")
        if self.sigmoid not in ("linear", "cubic"):
            raise ValueError(f'model.sigmoid must be "linear" or "cubic", not {self.sigmoid!r}')

    def stated(self) -> dict[str, Any]:
        """Return the settings for a message: reals as hexadecimal text, defaults that depend on the data as ""."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        told = {name: value.hex() if isinstance(value, float) else value for name, value in given.items()}
        told["reveal"] = sorted(self.reveal)
        return {name: "" if value is None else value for name, value in told.items()}


@dataclass(frozen=True)
class Data:
    """A party's table, and the declared kinds of its columns.

    Attributes
    ----------
    file : str
        A CSV or Parquet file.
    id, label : str
        Names of the column of ids and, at the guest, of the column of labels.
    columns : tuple of str or None
        Columns for the models; by default all but id and label.
    categorical, text : tuple of str
        Columns whose cells are categories, even if they look like numbers.
    numeric : tuple of str
        Columns of numbers in which any other text counts as missing.
    missing : tuple of str
        Texts that stand for missing values, besides those that pandas reads as missing.
    decimal, thousands : str
        The decimal mark and the thousands separator in numbers.
    encoding, delimiter : str
        Of a CSV file.
    dates : tuple of str
        Columns of dates, which become days or months since `date_since`.
    date_since, date_unit, date_format : str
        As for :func:`~bluetusk.vertical.read_columns`; they must be the same when the models score.
    label_words : mapping of str to int
        The words that stand for the labels 0 and 1; empty if the cells hold 0 and 1.
    """

    file: str
    id: str = "id"
    label: str | None = None
    columns: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    delimiter: str = ","
    dates: tuple[str, ...] = ()
    date_since: str = SINCE
    date_unit: str = "days"
    date_format: str = "YMD"
    label_words: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            number_reader(self.decimal, self.thousands)
            check_encoding(self.encoding)
            check_delimiter(self.delimiter)
            check_dates(self.date_since, self.date_unit, self.date_format)
            if self.label_words and set(self.label_words.values()) != {0, 1}:
                raise ValueError(
                    "label_words must say which words stand for 0 and which for 1, the event, such as {good = 0, bad = "
                    f"1}}, not {dict(self.label_words)!r:.80}"
                )
        except ValueError as err:
            raise ValueError(f"data.{err}") from None

    def opening(self) -> dict[str, Any]:
        """Return how a file of the party is opened: arguments of :class:`~bluetusk.vertical.tables.files.File`."""
        return {"missing": self.missing, "encoding": self.encoding, "delimiter": self.delimiter}

    def reading(self) -> dict[str, Any]:
        """Return how its numbers and dates are written: arguments of ``File.columns`` for all columns."""
        names = ("decimal", "thousands", "date_since", "date_unit", "date_format")
        return {name: getattr(self, name) for name in names}

    def counting(self) -> dict[str, Any]:
        """Return how its dates become numbers, for what is kept with the models; empty without dates."""
        if not self.dates:
            return {}
        return {"dates": sorted(self.dates), "date_since": self.date_since, "date_unit": self.date_unit}


@dataclass(frozen=True)
class Evidence:
    """Policy, log and identity. At a guest, `audit` is its book."""

    log: str
    identity: str
    peer_key: str
    policy: str
    audit: str | None = None


@dataclass(frozen=True)
class Config:
    """A party's whole configuration.

    Attributes
    ----------
    role : str
        "guest" or "host".
    job : str
        Name of the run; a new one for each run, the same at both parties.
    certificate, key, peer_certificate : str
        Names of the PEM files.
    listen, connect : str or None
        The address to listen at, or that of the peer; exactly one is set.
    state, output, splits : str
        Directories: the encrypted state of one job; models and results; this party's part of the splits, encrypted. The
        last serves all jobs with all peers and must outlive them.
    patience : float
        Seconds to wait for a silent peer.
    spool_quota : int
        Largest number of bytes of frames from the peer, which runs ahead, that wait on disk.
    max_peer_ids : int
        Largest number of the peer's ids.
    halves : {"sealed", "open"}
        Whether the halves of the models are saved under a passphrase, which is then required, or may be without.
    lang : {"en", "zh"} or None
        The language of this party's report; by default that of the locale.
    data : Data
    model : Model
    evidence : Evidence or None
        None only where the file says ``evidence = "none"``.
    """

    role: str
    job: str
    certificate: str
    key: str
    peer_certificate: str
    data: Data
    listen: str | None = None
    connect: str | None = None
    state: str = "state"
    output: str = "output"
    splits: str = "splits"
    patience: float = 600.0
    spool_quota: int = QUOTA
    max_peer_ids: int = MAX_PEER_IDS
    halves: str = "sealed"
    lang: str | None = None
    model: Model = field(default_factory=Model)
    evidence: Evidence | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, role: str | None = None) -> Config:
        """Read a TOML file; its relative paths start from the file's folder.

        Parameters
        ----------
        path : path-like
            The file.
        role : str, optional
            Overrides the file's role.

        Returns
        -------
        Config

        Raises
        ------
        ValueError
            If a setting is missing, unknown, of a wrong type or out of range; the error names file and setting.
        OSError
            If the file cannot be read.
        """
        given = _toml.load(path)
        if role is not None:
            given["role"] = role
        sections: dict[str, Any] = {name: given.pop(name, None) for name in SECTIONS}
        try:
            if sections["data"] is None:
                raise ValueError("the section [data] is missing")
            data = made_from(Data, sections["data"], "data.")
            more = {
                "data": data,
                "model": made_from(Model, sections["model"] or {}, "model."),
                "evidence": evidence_of(sections["evidence"]),
            }
            config = made_from(cls, given, "", more)
            for _, fault in config._faults():
                raise ValueError(fault)
        except ValueError as err:
            raise ValueError(f"{os.fspath(path)}: {err}") from None
        return config._at(Path(path).parent)

    @classmethod
    def examine(cls, path: str | os.PathLike[str], *, role: str | None = None) -> tuple[Config, dict[str, str]]:
        """Read a file as :meth:`load` does, and find all its faults instead of the first.

        Parameters
        ----------
        path, role
            As for :meth:`load`.

        Returns
        -------
        Config
            A setting in fault has its default here, or "" if it has none; without a usable [evidence] it is None.
        dict of str to str
            The faults, by setting ("model.trees") or section ("evidence"); none if :meth:`load` takes the file.

        Raises
        ------
        ValueError
            If the file is not TOML.
        OSError
            If it cannot be read.
        """
        given = _toml.load(path)
        if role is not None:
            given["role"] = role
        faults: dict[str, str] = {}

        def part(kind: type[T], section: Any, where: str, more: dict[str, Any]) -> T:
            values, found = _settings_of(kind, section, where, more)
            faults.update((where + name, fault) for name, fault in found)
            blank = {name: "" for name, f in _known(kind, more).items() if f.default is f.default_factory is MISSING}
            for name, value in list(values.items()):
                try:
                    kind(**{**blank, name: value}, **more)
                except ValueError as err:  # noqa: PERF203
                    del values[name]
                    faults[where + name] = str(err)
            try:
                return kind(**{**blank, **values}, **more)
            except ValueError as err:  # two settings that are each right alone
                faults[where.rstrip(".")] = str(err)
                return kind(**{name: values.get(name, "") for name in blank}, **more)

        sections: dict[str, Any] = {name: given.pop(name, None) for name in SECTIONS}
        if sections["data"] is None:
            faults["data"] = "the section [data] is missing"
        data = part(Data, sections["data"], "data.", {}) if sections["data"] is not None else Data("")
        model = part(Model, sections["model"] or {}, "model.", {})
        evidence = None
        try:
            evidence = evidence_of(sections["evidence"])
        except ValueError as err:
            faults["evidence"] = str(err)
        config = part(cls, given, "", {"data": data, "model": model, "evidence": evidence})
        for name, fault in config._faults():
            if name not in faults and not (name in ("listen", "connect") and {"listen", "connect"} & faults.keys()):
                faults[name] = fault
        return config._at(Path(path).parent), faults

    def _faults(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with settings that are each of the right type: the setting, and the error."""
        try:
            check_role(self.role)
        except ValueError as err:
            yield "role", str(err)
        if (self.listen is None) == (self.connect is None):
            yield "listen", "give exactly one of listen and connect: one party listens, the other connects"
        if (self.data.label is None) == (self.role == "guest"):
            yield "data.label", "data.label must name the column of labels at the guest, and be absent at a host"
        if self.data.label is not None and self.data.label == self.data.id:
            yield "data.label", f"data.label and data.id both name the column {self.data.id!r}: name that of the labels"
        address = str(self.connect if self.listen is None else self.listen)
        host, _, port = address.rpartition(":")
        if address != "None" and not (host and port.isdecimal()):
            where = "listen" if self.listen is not None else "connect"
            yield where, f"listen and connect must be an address with a port, HOST:PORT, not {address!r}"
        if not 1 <= len(self.job) <= 100:
            yield "job", "job must be a text of 1 to 100 characters"
        if self.evidence is not None and self.evidence.audit is not None and self.role != "guest":
            fault = "evidence.audit is for the guest, whose numbers are audited: leave it out at a host"
            yield "evidence.audit", fault
        if not self.patience > 0:
            yield "patience", "patience must be more than 0 seconds"
        for name in ("spool_quota", "max_peer_ids"):
            try:
                check_bounds(**{"spool_quota": 0, "max_peer_ids": 1, name: getattr(self, name)})
            except ValueError as err:  # noqa: PERF203
                yield name, str(err)
        if self.halves not in ("sealed", "open"):
            yield "halves", f'halves must be "sealed" or "open", not {self.halves!r}'
        if self.lang is not None and self.lang not in LANGUAGES:
            yield "lang", f"lang must be {' or '.join(map(repr, LANGUAGES))}, not {self.lang!r:.40}"

    def _at(self, folder: Path) -> Config:
        def at(given: Any, *names: str) -> Any:
            paths = {name: getattr(given, name) for name in names}
            return replace(given, **{name: str(folder / path) for name, path in paths.items() if path is not None})

        placed: Config = at(self, "certificate", "key", "peer_certificate", "state", "output", "splits")
        evidence = (
            at(self.evidence, "log", "identity", "peer_key", "policy", "audit") if self.evidence is not None else None
        )
        return replace(placed, data=at(self.data, "file"), evidence=evidence)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "int | None": int,
    "float": (int, float),
    "float | None": (int, float),
    "str": str,
    "str | None": str,
    "tuple[str, ...]": list,
    "tuple[str, ...] | None": list,
    "Mapping[str, int]": dict,
}


def check_bounds(spool_quota: int, max_peer_ids: int) -> None:
    """Check the bounds on what a peer may fill; ValueError names the setting."""
    for name, value, low, high, unit in (
        ("spool_quota", spool_quota, 0, _MOST_QUOTA, " bytes"),
        ("max_peer_ids", max_peer_ids, 1, MAX_ROWS, ""),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} must be between {low} and {high}{unit}, not {value}")


def evidence_of(section: Any) -> Evidence | None:
    """Return the section [evidence] of a file, None if the file says "none"; ValueError if it is missing."""
    if section is None:
        raise ValueError(
            "the section [evidence] is missing: it names the policy, the log and the identity. To let the peer do "
            'everything, unlogged, write evidence = "none" above the sections'
        )
    if section == "none":
        return None
    if isinstance(section, dict) and "policy" not in section:
        raise ValueError(
            "evidence.policy is missing: it names the signed policy, which says what the peer may do and how much of "
            "it. `bluetusk evidence policy example` prints one with least sizes and caps to start from, and `bluetusk "
            'evidence policy sign` signs it. To let the peer do everything, unlogged, write evidence = "none" above '
            "the sections, in place of [evidence]"
        )
    return made_from(Evidence, section, "evidence.")


def made_from(kind: type[T], given: Any, where: str, more: dict[str, Any] | None = None) -> T:
    """Return a section of the file; ValueError names a setting that is unknown, missing or of a wrong type."""
    values, faults = _settings_of(kind, given, where, more or {})
    for _, fault in faults:
        raise ValueError(fault)
    return kind(**values, **(more or {}))


def _known(kind: type[Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a section, by name."""
    return {f.name: f for f in fields(kind) if f.name not in more}


def _settings_of(
    kind: type[Any], given: Any, where: str, more: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the settings of a section that are of the right type, and each other one with its fault."""
    if not isinstance(given, dict):
        return {}, [("", f"{where[:-1]} must be a section")]
    known = _known(kind, more)
    values: dict[str, Any] = {}
    faults = []
    for name, value in given.items():
        if name not in known:
            sections = [] if where else list(SECTIONS)
            close = did_you_mean(name, [*known, *sections])
            fault = (
                f"{where}{name} is not known here{close}"
                if close
                else (f"{where}{name} is not known here: the settings are {', '.join(known)}")
            )
            faults.append((name, fault))
            continue
        stated = str(known[name].type)
        if type(value) is datetime.date and stated.startswith("str"):
            value = value.isoformat()  # 2026-01-01 without quotes is a date of TOML
        if isinstance(value, bool) or not isinstance(value, _TYPES[stated]):
            faults.append((name, f"{where}{name} must be {_said(stated)}, not {value!r}"))
            continue
        if isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                faults.append((name, f"{where}{name} must be a list of texts"))
                continue
            value = tuple(value)
        if isinstance(value, dict) and not all(type(item) is int for item in value.values()):
            faults.append((name, f"{where}{name} must give a whole number for each word, not {value!r:.80}"))
            continue
        values[name] = float(value) if stated.startswith("float") else value
    faults += [
        (name, f"{f'the section [{where[:-1]}]' if where else 'the file'} lacks the setting {name!r}: add it")
        for name, each in known.items()
        if each.default is each.default_factory is MISSING and name not in given
    ]
    return values, faults


def _said(stated: str) -> str:
    names = {"int": "a whole number", "float": "a number", "str": "a text", "Mapping[str, int]": "a table {word = 0}"}
    return names.get(stated.removesuffix(" | None"), "a list of texts")
