"""Bins columns by weight of evidence over two or more parties: labels at the guest, columns everywhere."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._numeric import Ints, as_bool, as_int, as_real
from ...errors import FrameError
from ...wire import frame
from ..base import Estimator, names_of, peers_of
from ..findings import few_events, separating_bins, tell
from ..protocol.job import Keeper, Progress
from ..protocol.link import Link
from ..protocol.refusal import telling
from ..protocol.sizes import MAX_BINS, MAX_COLUMNS
from ..saving import load_frame, save_frame
from ..tables.columns import Table, as_labels, as_table, column_names
from ..tables.plain import listed, number, texts
from ..tables.profile import ColumnProfile
from ..tables.unseen import warn_of_unseen
from .bins import ColumnBins, cut, from_version_1, monotone_groups, weigh
from .common import MAX_ROWS, REVEALABLE, Terms
from .guest import GuestJob, PeerColumn
from .host import HostJob
from .labels import KnownRows, LabelArray
from .noised import epsilon

__all__ = ["WoEBinning"]

_VERSION = 3
"""Version of the saved form. Since 2, categories are plain texts, rare ones too, and the profile is kept; since 3 a
host's bins have no weights, a guest's columns of hosts have one entry a bin of the host, and the limit of
:meth:`WoEBinning.select` and the digest of the labels are kept."""


class _Sizes(NamedTuple):
    """Parameters of a binning, checked."""

    max_bins: int
    min_rows: int
    key_size: int
    threads: int | None
    min_events: int
    min_others: int
    noise_sigma: int
    monotonic: bool
    show_names: bool
    smoothing: float
    reveal: tuple[str, ...]


class WoEBinning(Estimator):
    """Bins with weights of evidence and information values, fitted with the other parties' labels or columns.

    Every column is cut by its owner: numbers at quantiles, one bin for each category, one for missing values; bins
    below `min_rows` are joined. The guest encrypts its labels; hosts add them up bin by bin; the guest decrypts the
    sums and keeps each bin's weight of evidence, ``ln(share of the events / share of the others)``: positive where
    events (y = 1) are frequent. A host learns no statistic of the labels: its bins have no weights, and a model is
    trained on them with ``LogisticRegression.fit(..., binning=this)`` at both. The guest's own columns are binned by
    the same code, without encryption.

    Parameters
    ----------
    role : {"guest", "host"}
        The guest has the labels.
    max_bins : int
        Largest number of bins of numbers in a column.
    min_rows : int
        Least rows of a bin: the larger value of guest and host applies. The guest would otherwise learn in which bin
        single rows are.
    monotonic : bool
        Join neighbouring bins of this party's numeric columns until their weights rise, or fall, from bin to bin. The
        guest joins a host's bins without telling it: they get the same weight.
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
    min_events, min_others : int
        Least events, and least other rows, of a bin: the larger value of guest and host applies. The guest, who knows
        the numbers, joins smaller bins without telling anybody (see :func:`.bins.weigh`), so this binds an honest
        guest only. 0 by default; `bluetusk party` sets them.
    reveal : collection of str
        What hosts get to see, the same at both: nothing by default. ``("woe",)``: the weights of evidence of their
        bins and their information values, made from numbers of events with noise; the guest then uses the same ones
        for the hosts' columns. The observer's ``authorise`` is asked with ``reveal=("woe",)`` at both sides.
    noise_sigma : int
        Standard deviation of the discrete Gaussian noise on the events of each bin, where weights are revealed.

    Attributes
    ----------
    columns_ : list of str
        This party's columns.
    bins_ : list of ColumnBins
        Their bins.
    iv_ : dict of str to float
        Their information values; empty at a host to which they are not revealed.
    categorical_ : list of str
        Names of the columns that were binned by category.
    profile_ : list of ColumnProfile
        What each column held at training: see :mod:`bluetusk.vertical.tables.profile`. Empty in models of 0.1.0.
    hosts_ : list of list of PeerColumn
        At the guest: counts, weights and information values of each host's columns.
    findings_ : list of str
        At the guest with hosts: the texts of :class:`~bluetusk.DataWarning` about the labels and all columns.
    label_digest_ : bytes
        SHA-256 of the encrypted labels and their key, the same at all parties: for their logs. Empty without hosts.
    epsilon_ : float or None
        Where weights are revealed: what each row's label pays for it, at a delta of 1e-6, if all hosts of this fit pool
        what they see (:func:`.noised.epsilon`). Fits add up. It holds for hosts that follow the protocol.

    Notes
    -----
    What a column holds. An undeclared column holds numbers only, or texts only; one that mixes them is refused, and so
    is an infinite number or an integer that float64 would round. None, NaN, pandas.NA and the texts that pandas reads
    as missing ("", "NA", "NULL", "None", "nan" and others, also between blanks) are missing values. A category is a
    text: the decimal digits of an integer or of a whole float, or a string unchanged. So 7, 7.0 and "7" are one
    category, and "007" is another.

    What each side learns. The guest: how many columns each host has, their names (unless hidden), which are ordered,
    and the rows and events of each bin; never an edge or a category, nor which row is in which bin. A host: that the
    guest goes on, which depends on nothing that it opened; no message that it gets depends on a label but the encrypted
    labels. With ``reveal=("woe",)`` it learns what follows from its bins' noised numbers of events. Each further fit
    with other bins, or with other labels, shows the guest more about the rows of a bin: give it the same
    :class:`LabelArray` each time, and the host a :class:`LabelBook`; a policy caps the uses.

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
    >>> [column.name for column in guest.hosts_[0]], [column.iv > 0.5 for column in guest.hosts_[0]]
    (['good', 'idle'], [True, False])
    >>> host.codes(x).shape, host.sizes(), [len(values) for values in guest.peer_values()]
    ((400, 2), [4, 4], [4, 4])
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
        *,
        min_events: int = 0,
        min_others: int = 0,
        reveal: Collection[str] = (),
        noise_sigma: int = 10,
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
        self.min_events = min_events
        self.min_others = min_others
        self.reveal = reveal
        self.noise_sigma = noise_sigma

    @telling
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        link: Link | None = None,
        links: Sequence[Link] | None = None,
        columns: Sequence[str] | None = None,
        labels: LabelArray | KnownRows | None = None,
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
        labels : LabelArray or KnownRows, optional
            At the guest: `y` encrypted before, as :class:`LabelArray`, whose key is used. At a host: the rows of its
            :class:`LabelBook`, ``book.rows(ids)``, which refuses other labels than before for any of them.
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
            If the other party aborted, sent a message that is damaged or cannot be right, wants another `reveal`, or
            gave other labels than the book of this host notes.

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
        terms = Terms(sizes.min_rows, sizes.min_events, sizes.min_others, sizes.reveal, sizes.noise_sigma)
        if self.role == "host" and y is not None:
            raise ValueError("y must be None at a host: only the guest has labels")
        alone = self.role == "guest" and link is None and not links
        ways = [] if alone else peers_of(self.role, link, links)
        table = as_table(X, columns, self.categorical)
        if self.role == "guest" and y is None:
            raise ValueError("the guest needs labels: give y")
        if table.rows < sizes.min_rows:
            raise ValueError(f"X has {table.rows} rows, fewer than min_rows={sizes.min_rows}: lower min_rows")
        if self.role == "guest":
            marked = as_labels(y, table.rows)
            source = None if labels is None else _checked(labels, marked)
            findings = few_events(marked) if ways else []  # without hosts no model follows
            self._fit_guest(sizes, terms, table, marked, source, ways, keeper, progress)
            self.profile_ = table.profile()
            if not ways:
                return self
            known = [(f"column {own.name!r}", own.rows, own.events) for own in self.bins_ if own.events is not None]
            columns_of_hosts = [each for peer in self.hosts_ for each in peer]
            known += [(f"{e.party}'s column {e.name!r}", e.rows, e.events) for e in columns_of_hosts if e.sound]
            found = separating_bins(known) + [
                f"the sums of events in {e.party}'s column {e.name!r} cannot be right: it has no weight; ask {e.party}"
                for e in columns_of_hosts
                if not e.sound
            ]
            self.findings_ = findings + found
            tell(self.findings_)  # after the job: made an error, a finding about labels must not reach a host
            return self
        if not table.names:
            raise ValueError("X must have at least one column at a host")
        if len(table.names) > MAX_COLUMNS:
            raise ValueError(f"X has {len(table.names)} columns: a host bins at most {MAX_COLUMNS} at once")
        if sizes.show_names and any("\0" in name or len(name) > 256 for name in table.names):
            raise ValueError("names of columns must have at most 256 characters and no zero byte: shorten or hide them")

        def cut_all(min_rows: int) -> tuple[list[ColumnBins], Ints]:
            pairs = list(zip(table.names, table.values, strict=True))
            bins = [cut(name, values, max_bins=sizes.max_bins, min_rows=min_rows) for name, values in pairs]
            if (total := sum(each.n_bins for each in bins)) > MAX_BINS:
                raise ValueError(f"X has {total} bins, more than {MAX_BINS}: raise min_rows, or leave out columns")
            codes = [each.codes(values) for each, values in zip(bins, table.values, strict=True)]
            most = max(each.n_bins for each in bins)
            return bins, np.stack(codes, axis=1).astype(np.min_scalar_type(most))

        if labels is not None and not isinstance(labels, KnownRows):
            raise TypeError(f"labels must be rows of a LabelBook at a host, not {type(labels).__name__}")
        if labels is not None and len(labels) != table.rows:
            raise ValueError(f"labels has {len(labels)} rows, X has {table.rows}: give the ids of the rows of X")
        flags = {"monotonic": sizes.monotonic, "show_names": sizes.show_names}
        job = HostJob(table, sizes.max_bins, cut_all, terms, **flags, known=labels)
        self._drive(job, ways, keeper, progress)
        self._set(job.bins, [], job.digest)
        self.profile_ = table.profile()
        return self

    def _fit_guest(
        self,
        sizes: _Sizes,
        terms: Terms,
        table: Table,
        labels: Ints,
        source: LabelArray | None,
        links: list[Link],
        keeper: Keeper | None,
        progress: Progress | None,
    ) -> None:
        own = [self._own(sizes, name, column, labels) for name, column in zip(table.names, table.values, strict=True)]
        peers: list[list[PeerColumn]] = []
        digest = b""
        if links:
            job = GuestJob(labels, terms, smoothing=sizes.smoothing, key_size=sizes.key_size, source=source)
            self._drive(job, links, keeper, progress)
            peers, digest = job.peers, job.digest
        self._set(own, peers, digest)

    def _own(self, sizes: _Sizes, name: str, values: NDArray[Any], labels: Ints) -> ColumnBins:
        bins = cut(name, values, max_bins=sizes.max_bins, min_rows=sizes.min_rows)
        events = np.bincount(bins.codes(values), labels, bins.n_bins).astype(np.int64)
        if sizes.monotonic:
            groups = monotone_groups(bins.rows, events, bins.ordered, sizes.smoothing)
            events = np.bincount(groups, events).astype(np.int64)
            bins = bins.merged(groups)
        least = {"min_events": sizes.min_events, "min_others": sizes.min_others}
        woe, iv = weigh(bins.rows, events, bins.ordered, monotonic=False, smoothing=sizes.smoothing, **least)
        return bins.weighed(woe, iv, events)

    def _set(self, bins: list[ColumnBins], peers: list[list[PeerColumn]], digest: bytes, min_iv: float = 0.0) -> None:
        self.bins_ = bins
        self.columns_ = [each.name for each in bins]
        self.iv_ = {each.name: each.iv for each in bins if each.known}
        self.categorical_ = [each.name for each in bins if each.kind == "categorical"]
        self.hosts_ = peers
        self.findings_ = []
        self.label_digest_ = digest
        self._min_iv = min_iv
        columns = sum(map(len, peers)) if self.role == "guest" else len(bins)
        self.epsilon_ = epsilon(columns, self.noise_sigma) if self.reveal and columns and digest else None

    def _check(self) -> _Sizes:
        """Check the parameters; return numbers as Python ints, the only kind that messages and files accept."""
        shared = self._shared()
        del shared["role"]
        least = {name: as_int(getattr(self, name), name, 0, MAX_ROWS) for name in ("min_events", "min_others")}
        sigma = as_int(self.noise_sigma, "noise_sigma", 1, 1 << 20)
        flags = {name: as_bool(getattr(self, name), name) for name in ("monotonic", "show_names")}
        reveal = tuple(sorted(names_of(self.reveal, "reveal", REVEALABLE)))
        smoothing = as_real(self.smoothing, "smoothing", 0.0, 1e12, above=True)  # 0 would allow infinite weights
        most = as_int(self.max_bins, "max_bins", 1, 1000)
        given: dict[str, Any] = shared | least | flags
        return _Sizes(most, **given, noise_sigma=sigma, smoothing=smoothing, reveal=reveal)

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
            If :meth:`fit` was not called, a column is missing or was not fitted, a column that was fitted with numbers
            holds texts, or this is a host to which the weights were not revealed.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> alone.transform([[0.0], [9.0], [2.5]]).round(3).tolist()
        [[-1.609], [1.609], [-1.609]]
        """
        if not all(each.known for each in self._fitted()):
            raise ValueError(
                "the weights of evidence of a host's bins stay at the guest: train with LogisticRegression.fit(..., "
                "binning=this), use codes(X), or fit with reveal=('woe',) at both parties"
            )
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
            As :meth:`transform`, at any host.

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
        wanted = self.columns_ if columns is None else column_names(columns)
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

    def sizes(self) -> list[int]:
        """Return the number of bins of each of this party's columns.

        Examples
        --------
        >>> WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1]).sizes()
        [2]
        """
        return [each.n_bins for each in self._fitted()]

    def peer_values(self, i: int = 0) -> list[NDArray[np.float64]]:
        """Return, at the guest, the weight of evidence of each bin of each column of a host, in the host's order.

        Parameters
        ----------
        i : int
            The host: its place in `links`.

        Returns
        -------
        list of ndarray of float64
            Bins that the guest has joined have the same weight; all are 0 in a column below the limit of
            :meth:`select`. The host's :meth:`codes` are the places in these arrays.

        Raises
        ------
        ValueError
            If :meth:`fit` was not called.
        IndexError
            If there was no such host.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1).fit([[1.0], [2.0]], [0, 1])
        >>> alone.peer_values()
        Traceback (most recent call last):
            ...
        IndexError: i is 0: this binning was fitted with 0 hosts
        """
        return [each.woe if each.iv >= self._min_iv else np.zeros(len(each.woe)) for each in self._peer(i)]

    def peer_counts(self, i: int = 0) -> list[NDArray[np.int64]]:
        """Return, at the guest, the rows of each bin of each column of a host, in the host's order.

        Parameters, returns and errors are those of :meth:`peer_values`; the counts are of the rows of the fit.

        Examples
        --------
        >>> alone = WoEBinning("guest", min_rows=1).fit([[1.0], [2.0]], [0, 1])
        >>> alone.peer_counts(3)
        Traceback (most recent call last):
            ...
        IndexError: i is 3: this binning was fitted with 0 hosts
        """
        return [each.rows for each in self._peer(i)]

    def _peer(self, i: int) -> list[PeerColumn]:
        self._fitted()
        if not 0 <= as_int(i, "i") < len(self.hosts_):
            raise IndexError(f"i is {i}: this binning was fitted with {len(self.hosts_)} hosts")
        return self.hosts_[i]

    def select(self, min_iv: float = 0.02) -> list[str]:
        """Return this party's columns whose information value reaches a limit, best first.

        At the guest the limit decides about the hosts' columns too, without telling the hosts: :meth:`peer_values` is 0
        for those below. A host that does not know its information values gets all its columns.

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
        bins = self._fitted()
        self._min_iv = min_iv = as_real(min_iv, "min_iv", 0.0, math.inf)
        kept = [each for each in bins if not each.known or each.iv >= min_iv]
        return [each.name for each in sorted(kept, key=lambda each: -each.iv if each.known else 0.0)]

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each bin that this party knows: its own and, at the guest, the hosts'.

        Returns
        -------
        list of dict
            With the keys party, column, bin (a description; for a host's bin its number), rows, events, woe, and iv of
            the column, the last three None where this party does not know them; columns in the order of falling
            information value.

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
        parts.sort(key=lambda part: 0.0 if math.isnan(part[6]) else -part[6])
        return [
            {
                "party": party,
                "column": name,
                "bin": text,
                "rows": int(rows[k]),
                "events": None if events is None else int(events[k]),
                "woe": None if math.isnan(iv) else float(woe[k]),
                "iv": None if math.isnan(iv) else iv,
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
        kept = {**self._check()._asdict(), "categorical": list(self.categorical)}
        parameters = {**self.get_params(), **kept, "reveal": list(kept["reveal"])}
        plain = {
            "parameters": parameters,
            "bins": [each.to_plain() for each in bins],
            "hosts": [[column.to_plain() for column in columns] for columns in self.hosts_],
            "profile": [each.to_plain() for each in self.profile_],
            "min_iv": self._min_iv,
            "label_digest": self.label_digest_.hex(),
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
        version = frame.field(got.header, "version", int, choices=tuple(range(1, _VERSION + 1)))
        try:
            plain = json.loads(bytes(got.payload))
            if version == 1:
                plain = {**plain, "bins": [from_version_1(each) for each in plain["bins"]], "profile": []}
            if version < 3:
                plain = {**plain, "min_iv": 0.0, "label_digest": ""}
            parameters = plain["parameters"]
            made = cls(**parameters | {"reveal": tuple(parameters.get("reveal", ()))})
            made._check()
            texts(parameters.get("categorical", []), "categorical")
            bins = [ColumnBins.from_plain(each) for each in listed(plain["bins"], "bins")]
            texts([each.name for each in bins], "names of columns")
            hosts = [
                [PeerColumn.from_plain(each) for each in listed(columns, "hosts")]
                for columns in listed(plain["hosts"], "hosts")
            ]
            made.profile_ = [ColumnProfile.from_plain(each) for each in listed(plain["profile"], "profile")]
            digest, min_iv = bytes.fromhex(plain["label_digest"]), number(plain["min_iv"], "min_iv")
            if len(digest) not in (0, 32):
                raise ValueError("label_digest must be 32 bytes or none")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise FrameError(f"the file does not hold a fitted binning: {error}"[:200]) from None
        if made.role != frame.field(got.header, "role", str):
            raise FrameError("the file's role and the role of its binning differ")
        made._set(bins, hosts, digest, min_iv)
        return made


def _checked(labels: object, marked: Ints) -> LabelArray:
    """Return the guest's array of labels, which must be those of `y`."""
    if not isinstance(labels, LabelArray):
        raise TypeError(f"labels must be a LabelArray at the guest, not {type(labels).__name__}")
    if not np.array_equal(labels.labels, marked):
        raise ValueError("labels and y differ: index the LabelArray with the rows of X, or make y from it")
    return labels
