"""Bins columns by weight of evidence over two or more parties: labels at the guest, columns everywhere."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._numeric import Ints, as_int
from ...errors import FrameError
from ...wire import frame
from ..base import Estimator, peers_of
from ..findings import few_events, separating_bins, tell
from ..protocol.job import Keeper, Progress
from ..protocol.link import Link
from ..protocol.refusal import telling
from ..saving import load_frame, save_frame
from ..tables.columns import Table, as_labels, as_table
from ..tables.profile import ColumnProfile
from ..tables.unseen import warn_of_unseen
from .bins import ColumnBins, cut, from_version_1, information_value, monotone_groups, weights_of_evidence
from .guest import GuestJob, PeerColumn
from .host import HostJob

__all__ = ["WoEBinning"]

_VERSION = 2
"""Version of the saved form: since 2, categories are plain texts, rare ones too, and the profile is kept."""


class _Sizes(NamedTuple):
    """Parameters of a binning, checked."""

    max_bins: int
    min_rows: int
    key_size: int
    threads: int | None


class WoEBinning(Estimator):
    """Bins with weights of evidence and information values, fitted with the other parties' labels or columns.

    Every column is cut by its owner: numbers at quantiles, one bin for each category, one for missing values; bins
    below `min_rows` are joined. The guest encrypts its labels; hosts add them up bin by bin; the guest decrypts the
    sums and answers with each bin's weight of evidence, ``ln(share of the events / share of the others)``: positive
    where events (y = 1) are frequent. The guest's own columns are binned by the same code, without encryption.

    Parameters
    ----------
    role : {"guest", "host"}
        The guest has the labels.
    max_bins : int
        Largest number of bins of numbers in a column.
    min_rows : int
        Least rows of a bin: the larger value of guest and host applies. A weight of evidence of one row would reveal
        that row's label.
    monotonic : bool
        Join neighbouring bins of this party's numeric columns until their weights rise, or fall, from bin to bin.
    categorical : collection of str
        Names of the columns whose numbers are codes, or that mix numbers and texts; columns of strings and of pandas'
        dtype "category" are categories anyway.
    smoothing : float
        Added to the events and to the non-events of each bin, so that no weight is infinite (the guest's value
        applies).
    key_size : {3072, 2048, 4096}
        Bits of the guest's Paillier key; 2048 bits give 112-bit security.
    show_names : bool
        Whether a host sends the guest the names of its columns; else the guest sees "x0", "x1" and so on.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Attributes
    ----------
    columns_ : list of str
        This party's columns.
    bins_ : list of ColumnBins
        Their bins.
    iv_ : dict of str to float
        Their information values.
    categorical_ : list of str
        Names of the columns that were binned by category.
    profile_ : list of ColumnProfile
        What each column held at training: see :mod:`bluetusk.vertical.tables.profile`. Empty in models of 0.1.0.
    hosts_ : list of list of PeerColumn
        At the guest: counts, weights and information values of each host's columns.
    findings_ : list of str
        At the guest with hosts: the texts of :class:`~bluetusk.DataWarning` about the labels and all columns.

    Notes
    -----
    What a column holds. An undeclared column holds numbers only, or texts only; one that mixes them is refused, and so
    is an infinite number or an integer that float64 would round. None, NaN, pandas.NA and the texts that pandas reads
    as missing ("", "NA", "NULL", "None", "nan" and others, also between blanks) are missing values. A category is a
    text: the decimal digits of an integer or of a whole float, or a string unchanged. So 7, 7.0 and "7" are one
    category, and "007" is another.

    What each side learns. The guest: how many columns each host has, their names (unless hidden), which are ordered,
    and the rows and events of each bin; never an edge or a category, nor which row is in which bin. A host: each bin's
    weight and each column's information value; from these and its own counts it can compute the number of events in
    each of its bins, and in all. Therefore `min_rows` must not be small. Labels travel encrypted. Each further fit with
    other bins reveals more: the sums of two cuts that differ by a few rows reveal those rows' labels; a policy caps the
    uses.

    References
    ----------
    FATE, hetero feature binning; R. Anderson, The Credit Scoring Toolkit, 2007; PPCA 10-2023 clause 7.

    Examples
    --------
    >>> import threading, numpy as np
    >>> from bluetusk.vertical import WoEBinning, local_links
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 2))
    >>> y = (x[:, 0] + rng.normal(size=400) > 1).astype(int)
    >>> here, there = local_links()
    >>> host = WoEBinning("host", max_bins=4, min_rows=20, key_size=2048)
    >>> thread = threading.Thread(target=host.fit, args=(x,), kwargs={"columns": ["good", "idle"], "link": there})
    >>> thread.start()
    >>> guest = WoEBinning("guest", max_bins=4, min_rows=20, key_size=2048).fit(x[:, :1] ** 2, y, link=here)
    >>> thread.join()
    >>> [column.name for column in guest.hosts_[0]], host.iv_["good"] > 0.5 > host.iv_["idle"]
    (['good', 'idle'], True)
    >>> host.select(0.1), host.transform(x).shape
    (['good'], (400, 2))
    """

    findings_: list[str]

    def __init__(
        self,
        role: str = "guest",
        max_bins: int = 10,
        min_rows: int = 100,
        monotonic: bool = False,
        categorical: Collection[str] = (),
        smoothing: float = 0.5,
        key_size: int = 3072,
        show_names: bool = True,
        threads: int | None = None,
    ) -> None:
        self.role = role
        self.max_bins = max_bins
        self.min_rows = min_rows
        self.monotonic = monotonic
        self.categorical = categorical
        self.smoothing = smoothing
        self.key_size = key_size
        self.show_names = show_names
        self.threads = threads

    @telling
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        link: Link | None = None,
        links: Sequence[Link] | None = None,
        columns: Sequence[str] | None = None,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> WoEBinning:
        """Fit with the other parties, which call this at the same time.

        Parameters
        ----------
        X : array_like of shape (n, k), DataFrame, or mapping of str to array_like of shape (n,)
            This party's columns, rows in the common order (:func:`intersect`). The Notes define missing values.
        y : array_like of shape (n,)
            At the guest: labels, 0 and 1.
        link : Link, optional
            To the other party. A guest without links bins its own columns only.
        links : sequence of Link, optional
            At the guest: to several hosts.
        columns : sequence of str, optional
            Names; by default those of the DataFrame, or "x0" and so on.
        keeper, progress
            As for :func:`intersect`.

        Returns
        -------
        WoEBinning
            This one.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, `link` and `links` are both given, a host has labels or no link, the labels
            are not 0 and 1, there are fewer rows than `min_rows`, or a column mixes numbers and texts, is infinite or
            would be rounded.
        ProtocolAbort, FrameError, InvalidCiphertext
            If the other party aborted, or sent a message that is damaged or cannot be right.

        Warns
        -----
        DataWarning
            At the guest with hosts, if fewer than 20 rows have one of the labels, or if the bins of one column, its own
            separate the labels. No message depends on it; made an error, it ends the call as any error does.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> alone.bins_[0].edges, alone.bins_[0].woe.round(3)
        (array([3.]), array([-1.609,  1.609]))
        """
        sizes = self._check()
        if self.role == "host" and y is not None:
            raise ValueError("y must be None at a host: only the guest has labels")
        alone = self.role == "guest" and link is None and not links
        ways = [] if alone else peers_of(self.role, link, links)
        table = as_table(X, columns, self.categorical)
        if self.role == "guest":
            if y is None:
                raise ValueError("the guest needs labels: give y")
            labels = as_labels(y, table.rows)
            findings = few_events(labels) if ways else []  # without hosts no model follows
            tell(findings)
            self._fit_guest(sizes, table, labels, ways, keeper, progress)
            self.profile_ = table.profile()
            if not ways:
                return self
            known = [(f"column {own.name!r}", own.rows, own.events) for own in self.bins_ if own.events is not None]
            known += [(f"{e.party}'s column {e.name!r}", e.rows, e.events) for peer in self.hosts_ for e in peer]
            found = separating_bins(known)
            self.findings_ = findings + found
            tell(found)
            return self
        if not table.names:
            raise ValueError("X must have at least one column at a host")
        if self.show_names and any("\0" in name or len(name) > 256 for name in table.names):
            raise ValueError("names of columns must have at most 256 characters and no zero byte: shorten or hide them")

        def cut_all(min_rows: int) -> tuple[list[ColumnBins], Ints]:
            pairs = list(zip(table.names, table.values, strict=True))
            bins = [cut(name, values, max_bins=sizes.max_bins, min_rows=min_rows) for name, values in pairs]
            codes = [each.codes(values) for each, values in zip(bins, table.values, strict=True)]
            most = max(each.n_bins for each in bins)
            return bins, np.stack(codes, axis=1).astype(np.min_scalar_type(most))

        flags = {"monotonic": bool(self.monotonic), "show_names": bool(self.show_names)}
        job = HostJob(table, sizes.max_bins, cut_all, min_rows=sizes.min_rows, **flags)
        self._drive(job, ways, keeper, progress)
        self._set(job.bins, [])
        self.profile_ = table.profile()
        return self

    def _fit_guest(
        self,
        sizes: _Sizes,
        table: Table,
        labels: Ints,
        links: list[Link],
        keeper: Keeper | None,
        progress: Progress | None,
    ) -> None:
        if len(labels) < sizes.min_rows:
            raise ValueError(f"X has {len(labels)} rows, fewer than min_rows={sizes.min_rows}: lower min_rows")
        own = [self._own(sizes, name, column, labels) for name, column in zip(table.names, table.values, strict=True)]
        peers: list[list[PeerColumn]] = []
        if links:
            job = GuestJob(labels, min_rows=sizes.min_rows, smoothing=self.smoothing, key_size=sizes.key_size)
            self._drive(job, links, keeper, progress)
            peers = job.peers
        self._set(own, peers)

    def _own(self, sizes: _Sizes, name: str, values: NDArray[Any], labels: Ints) -> ColumnBins:
        bins = cut(name, values, max_bins=sizes.max_bins, min_rows=sizes.min_rows)
        events = np.bincount(bins.codes(values), labels, bins.n_bins).astype(np.int64)
        if self.monotonic:
            groups = monotone_groups(bins.rows, events, bins.ordered, self.smoothing)
            events = np.bincount(groups, events).astype(np.int64)
            bins = bins.merged(groups)
        woe = weights_of_evidence(bins.rows, events, self.smoothing)
        return bins.weighed(woe, information_value(bins.rows, events, self.smoothing), events)

    def _set(self, bins: list[ColumnBins], peers: list[list[PeerColumn]]) -> None:
        self.bins_ = bins
        self.columns_ = [each.name for each in bins]
        self.iv_ = {each.name: each.iv for each in bins}
        self.categorical_ = [each.name for each in bins if each.kind == "categorical"]
        self.hosts_ = peers
        self.findings_ = []

    def _check(self) -> _Sizes:
        """Check the parameters; return numbers as Python ints, the only kind that messages and files accept."""
        shared = self._shared()
        del shared["role"]
        sizes = _Sizes(as_int(self.max_bins, "max_bins", 1, 1000), **shared)
        if not isinstance(self.smoothing, int | float) or not 0 < self.smoothing < math.inf:
            raise ValueError(f"smoothing must be a positive number, not {self.smoothing!r}: 0 allows infinite weights")
        return sizes

    def _fitted(self) -> list[ColumnBins]:
        if not hasattr(self, "bins_"):
            raise ValueError("this binning is not fitted yet: call fit first")
        return self.bins_

    def transform(self, X: Any, columns: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Replace each value by the weight of evidence of its bin.

        Parameters
        ----------
        X : array_like, DataFrame or mapping
            This party's columns, as in :meth:`fit`.
        columns : sequence of str, optional
            Only these, in this order; for example ``binning.select(0.02)``.

        Returns
        -------
        ndarray of float64, shape (n, len(columns))
            A category that training has not seen gets the weight of the rare ones; if there were none, 0: no evidence
            either way. A missing value gets 0 if training had no missing value.

        Warns
        -----
        DataWarning
            If there are such values; it names the columns and the counts.

        Raises
        ------
        ValueError
            If :meth:`fit` was not called, a column is missing or was not fitted, or a column that was fitted with
            numbers holds texts.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> alone.transform([[0.0], [9.0], [2.5]]).round(3).tolist()
        [[-1.609], [1.609], [-1.609]]
        """
        return self._applied(ColumnBins.transform, np.float64, X, columns)

    def codes(self, X: Any, columns: Sequence[str] | None = None) -> Ints:
        """Replace each value by the number of its bin.

        Parameters
        ----------
        X, columns
            As for :meth:`transform`.

        Returns
        -------
        ndarray of int64, shape (n, len(columns))
            -1 where :meth:`transform` gives 0 for a value that training has not seen.

        Warns
        -----
        DataWarning
            As :meth:`transform`.

        Raises
        ------
        ValueError
            As :meth:`transform`.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> alone.codes([[0.0], [9.0], [2.5]]).tolist()
        [[0], [1], [0]]
        """
        return self._applied(ColumnBins.codes, np.int64, X, columns)

    def _applied(
        self, function: Callable[[ColumnBins, NDArray[Any]], NDArray[Any]], dtype: Any, X: Any, columns: Any
    ) -> NDArray[Any]:
        """Return what a method of the bins makes of the columns requested."""
        fitted = {each.name: each for each in self._fitted()}
        named = isinstance(X, Mapping) or (hasattr(X, "columns") and hasattr(X, "to_numpy"))
        names = [str(name) for name in (X if isinstance(X, Mapping) else X.columns)] if named else self.columns_
        kinds = [name for name in names if name in fitted and fitted[name].kind == "categorical"]
        wanted = self.columns_ if columns is None else list(columns)
        table = as_table(X, None if named else names, kinds, only=wanted)
        picked = []
        for name in wanted:
            if name not in fitted:
                raise ValueError(f"columns names {name!r}, which was not fitted")
            if name not in table.names:
                raise ValueError(f"X lacks the column {name!r} of the fit")
            values = table.values[table.names.index(name)]
            if (values.dtype.kind == "f") != (fitted[name].kind == "numeric"):
                raise ValueError(f"X[{name!r}] holds strings, but was fitted with numbers: convert it to numbers")
            picked.append((fitted[name], values))
        warn_of_unseen(
            {bins.name: (*bins.unseen(values), bins.other >= 0) for bins, values in picked},
            table.rows,
            "the rare ones",
            "0",
        )
        out = np.empty((table.rows, len(picked)), dtype)
        for j, (bins, values) in enumerate(picked):
            out[:, j] = function(bins, values)
        return out

    def select(self, min_iv: float = 0.02) -> list[str]:
        """Return this party's columns whose information value reaches a limit, best first.

        Parameters
        ----------
        min_iv : float
            The usual limits are 0.02 for a weak predictor, 0.1 for a medium one, 0.3 for a strong one.

        Returns
        -------
        list of str

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0, 5], [2.0, 5], [3.0, 5]], [0, 0, 1])
        >>> alone.select(0.1)
        ['x0']
        """
        self._fitted()
        return sorted((name for name, iv in self.iv_.items() if iv >= min_iv), key=lambda name: -self.iv_[name])

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each bin that this party knows: its own and, at the guest, the hosts'.

        Returns
        -------
        list of dict
            With the keys party, column, bin (a description; for a host's bin its number), rows, events (None where
            unknown), woe, and iv of the column; columns in the order of falling information value.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> [row["bin"] for row in alone.table()]
        ['(-inf, 3)', '[3, inf)']
        """
        parts: list[tuple[str, str, list[str], Ints, Ints | None, NDArray[np.float64], float]] = [
            (self.role, each.name, each.labels(), each.rows, each.events, each.woe, each.iv) for each in self._fitted()
        ]
        for hosts in self.hosts_:
            parts += [
                (c.party, c.name, [f"bin {k}" for k in range(len(c.rows))], c.rows, c.events, c.woe, c.iv)
                for c in hosts
            ]
        parts.sort(key=lambda part: -part[6])
        return [
            {
                "party": party,
                "column": name,
                "bin": text,
                "rows": int(rows[k]),
                "events": None if events is None else int(events[k]),
                "woe": float(woe[k]),
                "iv": iv,
            }
            for party, name, texts, rows, events, woe, iv in parts
            for k, text in enumerate(texts)
        ]

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> None:
        """Write this party's half to a file of mode 0600; see :meth:`load`.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced.
        passphrase : str or bytes, optional
            Seals the file (scrypt, AES-256-GCM).

        Raises
        ------
        ValueError
            If :meth:`fit` was not called.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     alone.save(folder + "/bins")
        ...     WoEBinning.load(folder + "/bins").iv_ == alone.iv_
        True
        """
        bins = self._fitted()
        parameters = {
            **self.get_params(),
            **self._check()._asdict(),
            "categorical": list(self.categorical),
            "monotonic": bool(self.monotonic),
            "show_names": bool(self.show_names),
        }
        plain = {
            "parameters": parameters,
            "bins": [each.to_plain() for each in bins],
            "hosts": [[column.to_plain() for column in columns] for columns in self.hosts_],
            "profile": [each.to_plain() for each in self.profile_],
        }
        header = {"role": self.role, "version": _VERSION}
        payload = json.dumps(plain, sort_keys=True, allow_nan=True).encode()
        save_frame(path, frame.encode(frame.Kind.WOE_BINNING, header, payload), passphrase)

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> WoEBinning:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes, optional
            The passphrase that it was saved with.

        Returns
        -------
        WoEBinning
            Fitted.

        Raises
        ------
        FrameError
            If the file is damaged, of another kind, or the passphrase is wrong.

        Examples
        --------
        >>> WoEBinning.load("/dev/null")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
        """
        got = load_frame(path, frame.Kind.WOE_BINNING, passphrase)
        frame.check_fields(got.header, ("role", "version"))
        version = frame.field(got.header, "version", int, choices=(1, _VERSION))
        try:
            plain = json.loads(bytes(got.payload))
            if version == 1:
                plain = {**plain, "bins": [from_version_1(each) for each in plain["bins"]], "profile": []}
            made = cls(**plain["parameters"])
            made._check()
            bins = [ColumnBins.from_plain(each) for each in plain["bins"]]
            hosts = [[PeerColumn.from_plain(each) for each in columns] for columns in plain["hosts"]]
            made.profile_ = [ColumnProfile.from_plain(each) for each in plain["profile"]]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise FrameError(f"the file does not hold a fitted binning: {error}"[:200]) from None
        if made.role != frame.field(got.header, "role", str):
            raise FrameError("the file's role and the role of its binning differ")
        made._set(bins, hosts)
        return made
