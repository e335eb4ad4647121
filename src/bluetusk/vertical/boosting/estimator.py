"""Boosts decision trees over parties that hold different columns of the same rows (SecureBoost)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._numeric import Floats, Ints, as_array
from ...errors import FrameError
from ...wire.frame import Kind, check_fields, encode, field
from ..base import Estimator, check_certificate, check_pieces, check_role, peers_of
from ..book import MARK, Book, beside, book_of, marks_of
from ..findings import few_events, separating, tell
from ..protocol.job import Keeper, Progress
from ..protocol.link import Link
from ..protocol.refusal import telling
from ..saving import load_frame, save_frame
from ..tables.codes import categories_of, coded
from ..tables.columns import Table, as_classes, as_scores, as_table
from ..tables.profile import ColumnProfile
from .guest import GuestJob
from .host import SERIAL, HostJob
from .model import Half, Settings, credited, probabilities
from .score import GuestWalk, HostWalk

__all__ = ["GradientBoosting"]

_BOOK = ("book", "scored", "serial")
_LATER = ("about", "certificate", *_BOOK)
_PRINT = 64  # characters of a fingerprint


class GradientBoosting(Estimator):
    """Boosted trees on the columns of a guest, who has the labels, and of one host or more.

    The guest encrypts gradient and Hessian of each row, once for a tree; a host adds them up by the buckets of its
    columns, without being able to read them; the guest opens the sums and chooses the splits. The model stays in
    halves: a guest's split is known to the guest only, a host's to that host only, and both are needed to predict.

    Parameters
    ----------
    role : {"guest", "host"}
        Which party this is.
    n_estimators : int
        Number of trees. All parties must set the same values of this, `max_depth`, `learning_rate`, `reg_lambda`,
        `min_samples_leaf`, `min_events`, `min_others`, `subsample`, `first_tree_local`, `share_gain`, `frac_bits` and
        `key_size`.
    max_depth : int
        Levels of splits in a tree, 1 to 10.
    learning_rate : float
        Factor of the leaf values, which the guest computes; the host's log keeps it for an audit.
    max_bins : int
        Quantile buckets of a column, 2 to 255, besides one for missing values; each party chooses its value.
    reg_lambda : float
        L2 penalty on the leaf values, also in the gain; as `learning_rate`. The default is 1, as in XGBoost: at low
        rates of events h is small, and without a penalty a leaf with few events gets a value of 5 and more, from which
        later trees do not recover.
    min_child_weight : float
        Least sum of Hessians on either side of a split (guest). At the default of 3 a side has as many rows as contain
        about three events. XGBoost's default of 1 fits noise at rates of 1 % and less; at 20 % both give the same
        trees.
    min_samples_leaf : int
        Fewest rows on either side of a split.
    min_bucket_rows : int
        The fewest rows between two cuts whose sums this party discloses, in a node and in its sibling (host). Thinner
        buckets are joined. The sums of a tiny bucket would reveal its rows. Not the `min_rows` of
        :class:`WoEBinning`, which counts the rows of a bin once, in the whole table, and of which the larger of both
        parties' holds: here the host's alone counts, in every node; the guest's only limits `subsample`.
    min_events, min_others : int
        The fewest rows of the second and of the first class in a node that a host sees, which the guest keeps. A node
        that has no split with so many on both sides does not split. Hosts cannot check it: see
        ``docs/how-to/boosting.md``. 0 lifts the minimum.
    min_gain : float
        A split is taken only if its gain exceeds this (guest).
    subsample : float
        Share of the rows from which a tree is grown, drawn anew for each. It must leave out no row, or
        `min_bucket_rows` and more, at each party: otherwise the sums of two trees would differ in fewer rows.
    base_score : float, optional
        Initial probability; by default the share of the second class (guest).
    first_tree_local : bool
        Whether the guest grows the first tree from its own columns (PPCA 10-2023, 7), so that no host sums the first
        gradients, which are the labels less a constant. Hosts help from the second tree on. A guest without columns
        needs False.
    share_gain : bool
        Whether the guest sends hosts the gain of their splits, which shows how well their columns predict.
    frac_bits : int
        Fractional bits of gradients and Hessians, 8 to 30. Fewer also limit what a guest that encrypts other numbers
        can read from a sum.
    categorical : collection of str
        Names of this party's columns whose numbers are codes, or that mix numbers and texts; columns of strings and of
        pandas' dtype "category" are categories anyway.
    key_size : {3072, 2048, 4096}
        Bits of the guest's Paillier key, made for one training.
    random_state : int or bytes, optional
        A number, or 32 bytes, from which the subsamples are drawn (guest). Encryption and the order in which sums are
        sent are always random, and never show in the model: it is the same to the bit, unless splits of different
        rows have exactly the same gain.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels (guest).
    columns_ : list of str
        Names of this party's columns.
    categories_ : dict of str to list of str
        The categories of each column that is not numeric. Trees split them in this order: numbers by value, then texts
        by alphabet. In scoring, any other category counts as missing, with a warning.
    profile_ : list of ColumnProfile
        What each column held at training: see :mod:`bluetusk.vertical.tables.profile`. Empty in models of 0.1.0.
    split_counts_ : ndarray of int64
        Number of splits of each column.
    feature_importances_ : ndarray of float64
        At the guest each column's share in the gain of the whole model. At a host its share in the gain of this host's
        splits, or without `share_gain` in their number.
    party_importances_ : dict of str to float
        The share of each party in the gain of the model (guest).
    train_scores_ : ndarray of float64, shape (n,)
        The log-odds of the training rows, which the training shows the guest; not saved (guest).
    findings_ : list of str
        The texts of :class:`~bluetusk.DataWarning` about the labels, the guest's columns and false hosts (guest).
    book_ : Book
        Which rows the model has scored (host).
    certificate_ : str
        The fingerprint of the certificate of the peer that it was trained with over ``Party``; else empty.

    Notes
    -----
    *What each side learns, besides its half of the model.* The guest: for each node and host the sums of g and h left
    of every cut, in random order over all columns (sorted by h they are cumulative sums again, so the guest sees about
    how many rows a bucket of *some* column holds and what labels they have), and which rows a chosen split of a host
    sends left, in training and, of the rows that reach it, in prediction. The hosts: which rows are in which node
    above the leaves (so in part the effect of the guest's splits), which of their splits were chosen, and which
    sample was drawn. They see no gradient, label, leaf or score, but nodes rank rows nearly as well as the model does.
    A guest that encrypts numbers other than gradients can single out rows, as many as a sum has bits: the parties may
    be curious, but must follow the protocol. See ``docs/how-to/boosting.md``.

    References
    ----------
    K. Cheng et al., "SecureBoost: A Lossless Federated Learning Framework", IEEE Intelligent Systems 2021. PPCA
    10-2023, clause 7 and Annex A.1. T. Chen, C. Guestrin, "XGBoost", KDD 2016, for the gain.

    Examples
    --------
    Both parties in one process, to try it out:

    >>> import threading
    >>> import numpy as np
    >>> import bluetusk as bt
    >>> rng = np.random.default_rng(0)
    >>> X, X_host = rng.normal(size=(200, 2)), rng.normal(size=(200, 2))
    >>> y = X[:, 0] + X_host[:, 1] > 0
    >>> common = {"n_estimators": 2, "max_depth": 2, "learning_rate": 1.0, "key_size": 2048}
    >>> guest = bt.vertical.GradientBoosting(role="guest", **common)
    >>> host = bt.vertical.GradientBoosting(role="host", **common)
    >>> def both(mine, theirs):
    ...     thread = threading.Thread(target=theirs)
    ...     thread.start()
    ...     result = mine()
    ...     thread.join()
    ...     return result
    >>> a, b = bt.vertical.local_links()
    >>> _ = both(lambda: guest.fit(X, y, link=a), lambda: host.fit(X_host, link=b, columns=["income", "age"]))
    >>> names = [f"M{k}" for k in range(200)]  # a host scores each row once
    >>> p = both(lambda: guest.predict_proba(X, link=a), lambda: host.predict_proba(X_host, link=b, ids=names))
    >>> p.shape, bool(((p[:, 1] > 0.5) == y).mean() > 0.8)
    ((200, 2), True)
    >>> host.columns_[int(host.split_counts_.argmax())]
    'age'
    """

    def __init__(
        self,
        role: str = "guest",
        *,
        n_estimators: int = 10,
        max_depth: int = 3,
        learning_rate: float = 0.3,
        max_bins: int = 32,
        reg_lambda: float = 1.0,
        min_child_weight: float = 3.0,
        min_samples_leaf: int = 50,
        min_bucket_rows: int = 50,
        min_events: int = 5,
        min_others: int = 5,
        min_gain: float = 1e-6,
        subsample: float = 1.0,
        base_score: float | None = None,
        first_tree_local: bool = True,
        share_gain: bool = False,
        frac_bits: int = 24,
        categorical: Collection[str] = (),
        key_size: int = 3072,
        random_state: int | bytes | None = None,
        threads: int | None = None,
    ) -> None:
        self.role = role
        self.n_estimators, self.max_depth, self.learning_rate = n_estimators, max_depth, learning_rate
        self.max_bins, self.reg_lambda, self.min_child_weight = max_bins, reg_lambda, min_child_weight
        self.min_samples_leaf, self.min_bucket_rows = min_samples_leaf, min_bucket_rows
        self.min_events, self.min_others, self.min_gain = min_events, min_others, min_gain
        self.subsample, self.base_score = subsample, base_score
        self.first_tree_local, self.share_gain = first_tree_local, share_gain
        self.frac_bits, self.categorical = frac_bits, categorical
        self.key_size, self.random_state, self.threads = key_size, random_state, threads

    def _settings(self) -> Settings:
        given = self.get_params() | self._shared()
        if isinstance(given["random_state"], bytes):  # messages and files hold a number
            given["random_state"] = int.from_bytes(hashlib.sha256(given["random_state"]).digest()[:8], "big") >> 1
        return Settings(**{name: given[name] for name in given if name not in ("role", "threads", "categorical")})

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
    ) -> GradientBoosting:
        """Train together with the other parties, which call this at the same time on the same rows in the same order.

        Parameters
        ----------
        X : array_like of shape (n, features), DataFrame, or mapping of str to array_like of shape (n,)
            This party's columns: numbers or texts, as in :class:`WoEBinning`. Each split sends missing values to the
            side with the larger gain.
        y : array_like of shape (n,), at the guest only
            Labels of two classes; scores are for the second in sorted order.
        link : Link
            To the other party.
        links : sequence of Link, optional
            To all hosts, in place of `link` (guest).
        columns : sequence of str, optional
            Names; by default those of a DataFrame, else "x0", ...
        keeper : Keeper, optional
            Keeps the state after every step, so that the training survives a crash of any party.
        progress : callable, optional
            Called as ``progress(task, steps taken, all steps)``; a step is a tree.

        Returns
        -------
        GradientBoosting
            This one, with its half of the model.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, `subsample` leaves out fewer rows than `min_bucket_rows`, `link` and `links`
            do not fit the role, a host has labels or no column, the labels are not of two classes, or a column mixes
            numbers and texts, is infinite or would be rounded.
        ProtocolAbort
            If the parties' settings or numbers of rows differ, a peer violates the protocol, or the sums of a host's
            splits of a level take more than 1 GiB.
        FrameError, InvalidCiphertext, InvalidKey
            If a message is damaged.

        Warns
        -----
        DataWarning
            At the guest, if a class has fewer than 20 rows, one of its columns separates the classes, or a host's
            rows do not have the sums that it sent. No message depends on it; made an error, it ends the call as any
            error does.

        Examples
        --------
        See :class:`GradientBoosting`.

        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting(role="host").fit([[1.0]], [1])
        Traceback (most recent call last):
            ...
        ValueError: y must be None at a host: only the guest has labels
        """
        role, settings = self.role, self._settings()
        given = _rows_of(as_table(X, columns, self.categorical))
        names, categories = given.names, categories_of(given)
        table = coded(given, categories)
        if role == "host" and y is not None:
            raise ValueError("y must be None at a host: only the guest has labels")
        peers = peers_of(role, link, links)
        job: GuestJob | HostJob
        findings: list[str] = []
        if role == "host":
            job = HostJob(settings, table, names)
        else:
            labels, classes = as_classes(y, len(table))
            findings = [*few_events(labels, classes.tolist()), *separating(names, list(table.T), labels)]
            job = GuestJob(settings, table, labels, names, len(peers))
        self._drive(job, peers, keeper, progress)
        self._fitted, self._half, self.columns_ = settings, job.half, names
        self.categories_, self.profile_ = categories, given.profile()
        self._parties, self.findings_ = [link.peer for link in peers], findings
        self.certificate_ = peers[0].certificate if len(peers) == 1 else ""
        if role == "guest":
            self.classes_ = classes
        else:
            self.book_ = Book(self._half, self._half.name)
        vars(self).pop("train_scores_", None)
        if isinstance(job, GuestJob):
            self.train_scores_ = job.scores
            findings += [_false(peers[k - 1].peer) for k in sorted(job.false)]
        self._importances()
        tell(findings)  # after the job: made an error, a finding about labels must not reach a host
        return self

    @property
    def model_(self) -> bytes:
        """The model's name, 32 bytes: the same at the guest and, where there is one host, at the host.

        Examples
        --------
        >>> import bluetusk as bt
        >>> hasattr(bt.vertical.GradientBoosting(), "model_")  # once it is fitted
        False
        """
        return bytes(self._half.digests[0].tobytes())

    def _importances(self) -> None:
        half, size = self._half, len(self.columns_)
        own = half.party == 0
        feature, gain = half.feature[own], half.gain[own]
        self.split_counts_ = np.bincount(feature, minlength=size).astype(np.int64)
        weighed = np.bincount(feature, weights=gain, minlength=size)
        if self.role == "guest":
            total = float(half.gain.sum()) or 1.0
            shares = [float(half.gain[half.party == k].sum()) / total for k in range(1 + len(self._parties))]
            self.party_importances_ = dict(zip(["guest", *self._parties], shares, strict=True))
        else:
            weighed = weighed if self._fitted.share_gain else self.split_counts_.astype(np.float64)
            total = float(weighed.sum()) or 1.0
        self.feature_importances_: Floats = weighed / total

    # --- prediction ---------------------------------------------------------------------------------------------------

    @telling
    def decision_function(
        self,
        X: Any,
        *,
        link: Link | None = None,
        links: Sequence[Link] | None = None,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
    ) -> Floats | None:
        """Return the log-odds of rows, together with the other parties, which call this or :meth:`predict_proba`.

        Parameters
        ----------
        X : array_like of shape (n, features), DataFrame, or mapping
            This party's columns of the rows, in the same order at all parties.
        link, links : Link, sequence of Link
            As for :meth:`fit`.
        ids : sequence, optional
            The rows' ids, which a host must give: it refuses a row that this model has scored before, in this process
            or in another one. A guest may leave them out.
        keeper : Keeper, optional
            As for :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (n,), or None
            None at a host, which learns no score.

        Warns
        -----
        DataWarning
            If columns hold categories that training has not seen; they count as missing, and the warning gives their
            number.

        Raises
        ------
        ValueError
            If this half is not fitted, `X` has other columns or texts in a column of numbers, the guest's links are not
            one for each host of the fit, or `ids` has another number of ids or one twice, or is missing at a host.
        ProtocolAbort
            If the halves are of different models, or the parties' numbers of rows differ.
        PolicyRefused, FrameError
            If a row was scored before; if the host's book of scored rows is missing or was altered.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().decision_function([[1.0]])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        table, peers = self._rows(X, link, links, ids)
        return self._walked(table, peers, ids, keeper, None).scores

    @telling
    def apply(
        self,
        X: Any,
        *,
        link: Link | None = None,
        links: Sequence[Link] | None = None,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
    ) -> Ints | None:
        """Return the leaf of each row in each tree, at the guest; the others call this or :meth:`decision_function`.

        The messages are those of :meth:`decision_function`: scoring shows the guest these leaves.

        Parameters
        ----------
        X, link, links, ids, keeper
            As for :meth:`decision_function`. A host counts this as a scoring.

        Returns
        -------
        ndarray of int64, shape (n, trees), or None
            Places in the trees, for :meth:`scores_of` and :meth:`contributions`. None at a host.

        Raises
        ------
        ValueError, ProtocolAbort, PolicyRefused, FrameError
            As for :meth:`decision_function`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().apply([[1.0]])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        table, peers = self._rows(X, link, links, ids)
        walk = self._walked(table, peers, ids, keeper, None, leaves=True)
        return None if walk.leaves is None else np.concatenate(walk.leaves, axis=1).T.astype(np.int64)

    def scores_of(self, leaves: ArrayLike) -> Floats:
        """Return the log-odds of rows from their leaves, at the guest.

        Parameters
        ----------
        leaves : array_like of shape (n, trees)
            From :meth:`apply`.

        Returns
        -------
        ndarray of float64, shape (n,)
            The same floats as :meth:`decision_function`.

        Raises
        ------
        ValueError
            If this half is not fitted or not a guest's, or `leaves` has another shape or a place that the trees lack.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().scores_of([[1]])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        places = self._places(leaves)
        scores = np.full(len(places), self._half.base[0])
        for tree in range(places.shape[1]):  # in the order of the training
            scores = scores + self._half.value[tree][places[:, tree]]
        return scores

    def contributions(self, leaves: ArrayLike) -> Floats:
        """Return what this party's columns, and each host's together, add to the log-odds of rows, at the guest.

        Parameters
        ----------
        leaves : array_like of shape (n, trees)
            From :meth:`apply`; at least one row.

        Returns
        -------
        ndarray of float64, shape (n, columns + hosts)
            Compared with the mean of these rows: each row adds up to its log-odds less their mean. The guest's columns
            come first, in the order of `columns_`, then one column for each host: the guest does not know by which of a
            host's columns a row was split.

        Raises
        ------
        ValueError
            As for :meth:`scores_of`, and if there is no row.

        Notes
        -----
        On its way down a tree a row passes nodes; from each to the next the mean value of the leaves of the rows in it
        changes, and the change is credited to the column that splits there.

        References
        ----------
        A. Palczewska et al., "Interpreting Random Forest Classification Models Using a Feature Contribution Method",
        in: Integration of Reusable Systems, 2014, 193-218.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().contributions([[1]])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        places = self._places(leaves)
        if not len(places):
            raise ValueError("leaves must have at least one row: contributions are compared with the mean of the rows")
        return credited(self._half, places, len(self.columns_), len(self._parties))

    def _places(self, leaves: ArrayLike) -> Ints:
        if not hasattr(self, "_half"):
            raise ValueError("this model is not fitted: call fit or load first")
        if self.role != "guest":
            raise ValueError("role is 'host': only the guest knows the leaves and their values")
        places = as_array(leaves, "leaves")
        trees, most = self._half.party.shape
        if places.dtype.kind not in "iu" or places.ndim != 2 or places.shape[1] != trees:
            raise ValueError(f"leaves must hold integers of shape (n, {trees}), as apply returns, not {places.shape}")
        if places.size and not (places.min() >= 0 and places.max() < most):
            raise ValueError(f"leaves must hold places from 0 to {most - 1}: give what apply returned")
        return places.astype(np.int64)

    @telling
    def score_pieces(
        self,
        table: Any,
        *,
        link: Link,
        ids: Sequence[str] | None = None,
        inputs: bytes = b"",
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> Floats | None:
        """Return the log-odds of rows that are not in memory at once, as :meth:`decision_function` of the others.

        Parameters
        ----------
        table : sequence of rows
            Its slices are arrays of numbers, in which categories are their places in `categories_`, in the order of
            `columns_`.
        link, ids, keeper
            As for :meth:`decision_function`; a guest may leave `ids` out.
        inputs : bytes
            A hash of all rows, by which kept steps belong to them.
        progress : callable, optional
            As for :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (n,), or None

        Raises
        ------
        ValueError, ProtocolAbort, PolicyRefused, FrameError
            As for :meth:`decision_function`.

        Examples
        --------
        See :meth:`decision_function`.

        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting.score_pieces.__name__
        'score_pieces'
        """
        if not hasattr(self, "_half"):
            raise ValueError("this model is not fitted: call fit or load first")
        check_pieces(table, self.columns_, ids, check_role(self.role))
        return self._walked(table, peers_of(self.role, link), ids, keeper, progress, inputs=inputs).scores

    def _rows(
        self, X: Any, link: Link | None, links: Sequence[Link] | None, ids: Sequence[Any] | None
    ) -> tuple[Floats, list[Link]]:
        """Check this half, and return the rows' numbers and the links."""
        if not hasattr(self, "_half"):
            raise ValueError("this model is not fitted: call fit or load first")
        named = isinstance(X, Mapping) or hasattr(X, "columns")
        own = [str(name) for name in (X if isinstance(X, Mapping) else X.columns)] if named else self.columns_
        given = _rows_of(as_table(X, None if named else own, [name for name in self.categories_ if name in own]))
        names = given.names
        if names != self.columns_:
            raise ValueError(f"X has the columns {names}, but the model was fitted to {self.columns_}: give these")
        role = check_role(self.role)
        peers = peers_of(role, link, links)
        self._check_hosts(peers)
        table = coded(given, self.categories_)
        if ids is None and role == "host":
            raise ValueError("ids is missing: give the rows' ids, so that this host scores each row once")
        return table, peers

    def _check_hosts(self, peers: Sequence[Link]) -> None:
        if self.role == "guest" and len(peers) != len(self._parties):
            raise ValueError(f"the model has {len(self._parties)} hosts: give links to all, in the order of fit")

    def _walked(
        self,
        table: Any,
        peers: Sequence[Link],
        ids: Sequence[Any] | None,
        keeper: Keeper | None,
        progress: Progress | None,
        *,
        inputs: bytes = b"",
        leaves: bool = False,
    ) -> GuestWalk | HostWalk:
        """Score the rows of a table of numbers, as :func:`coded` makes it, or of what has slices as one."""
        check_certificate(self.certificate_, peers)
        self._check_hosts(peers)
        guest = self.role == "guest"
        marks = [] if ids is None else marks_of(self._half.digests[0].tobytes(), ids)
        if ids is not None and len(marks) != len(table):
            raise ValueError(f"ids has {len(marks)} ids for {len(table)} rows: give one for each")
        marks = marks if len(peers) == 1 else []  # of several hosts each has another name for the model
        kind = GuestWalk if guest else HostWalk
        book = None if guest else self.book_
        walk = kind(self._fitted, self._half, table, self.columns_, marks, book=book, inputs=inputs)
        if guest and leaves:
            walk.leaves = []
        self._drive(walk, peers, keeper, progress)
        return walk

    @telling
    def predict_proba(
        self,
        X: Any,
        *,
        link: Link | None = None,
        links: Sequence[Link] | None = None,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
    ) -> Floats | None:
        """Return the probabilities of both classes, together with the other parties.

        Parameters
        ----------
        X, link, links, ids, keeper
            As for :meth:`decision_function`.

        Returns
        -------
        ndarray of float64, shape (n, 2), or None
            In the order of `classes_`; None at a host.

        Raises
        ------
        ValueError, ProtocolAbort, PolicyRefused, FrameError
            As for :meth:`decision_function`.

        Examples
        --------
        See :class:`GradientBoosting`.

        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().predict_proba([[1.0]])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        scores = self.decision_function(X, link=link, links=links, ids=ids, keeper=keeper)
        if scores is None:
            return None
        p = self.probability(scores)
        return np.column_stack([1.0 - p, p])

    def probability(self, scores: ArrayLike) -> Floats:
        """Return the probability of the second class for log-odds, at the guest.

        Parameters
        ----------
        scores : array_like of shape (n,)
            From :meth:`decision_function`.

        Returns
        -------
        ndarray of float64, shape (n,)
            Monotone in the score; extreme scores may round to the same float.

        Raises
        ------
        ValueError, TypeError
            If a score is missing, infinite or not a number.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().probability([0.0])
        array([0.5])
        """
        return probabilities(as_scores(scores, "scores"))

    @telling
    def predict(
        self,
        X: Any,
        *,
        link: Link | None = None,
        links: Sequence[Link] | None = None,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
    ) -> NDArray[Any] | None:
        """Return the more likely class of each row, together with the other parties.

        Parameters
        ----------
        X, link, links, ids, keeper
            As for :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n,), or None
            Values of `classes_`; None at a host.

        Raises
        ------
        ValueError, ProtocolAbort, PolicyRefused, FrameError
            As for :meth:`decision_function`.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().predict([[1.0]])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        scores = self.decision_function(X, link=link, links=links, ids=ids, keeper=keeper)
        return None if scores is None else np.asarray(self.classes_[(scores > 0).astype(np.int64)])

    # --- files --------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> None:
        """Write this party's half to a file.

        A host's first save makes another file beside it, ``<path>.<8 hexadecimal digits>.scored``: the book of the rows
        that the model has scored. Every scoring with this half, or with a copy of it, reads the book and writes to it,
        before answers leave.

        Parameters
        ----------
        path : path-like
            The file, mode 0600, written whole or not at all; an existing one is replaced.
        passphrase : str or bytes, optional
            Encrypts the file.

        Raises
        ------
        ValueError
            If this model is not fitted.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting().save("model")
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit or load first
        """
        if not hasattr(self, "_half"):
            raise ValueError("this model is not fitted: call fit or load first")
        if self.role == "host" and not self.book_.path:
            self.book_.keep(beside(path, self.book_.model), create=True)
        listed, payload = self._half.to_parts()
        about = {"categories": self.categories_, "profile": [each.to_plain() for each in self.profile_]}
        more = json.dumps(about, sort_keys=True).encode()
        header = {
            "role": self.role,
            "settings": self._fitted.to_fields(),
            "columns": self.columns_,
            "parties": self._parties,
            "arrays": listed,
            "classes": self.classes_.tolist() if self.role == "guest" else [],
            "about": len(more),
            "certificate": self.certificate_,
        }
        scored = b""
        if self.role == "host":
            scored = self.book_.to_bytes()
            header |= {"serial": self._half.serial, "book": os.fsencode(self.book_.path), "scored": len(scored)}
        save_frame(path, encode(Kind.GRADIENT_BOOSTING, header, payload + more + scored), passphrase)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        passphrase: str | bytes | None = None,
        *,
        book: str | os.PathLike[str] | None = None,
    ) -> GradientBoosting:
        """Read a half that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes, optional
            The passphrase that it was saved with.
        book : path-like, optional
            A host's book of the rows that the model has scored, if it is no longer where it was when the half was
            saved, nor beside the half. For a half of an earlier version, which had none, one is made beside it: save
            such a half again, so that it knows its book.

        Returns
        -------
        GradientBoosting
            Ready to predict.

        Raises
        ------
        FrameError
            If the file is not a half of a boosted model, is damaged, or does not open with the passphrase; or if a
            host's book of scored rows is missing, was altered, or is older than the half.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import bluetusk as bt
        >>> bt.vertical.GradientBoosting.load("/dev/null")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
        """
        got = load_frame(path, Kind.GRADIENT_BOOSTING, passphrase)
        check_fields(got.header, ("role", "settings", "columns", "parties", "arrays", "classes"), _LATER)
        role = field(got.header, "role", str, choices=("guest", "host"))
        settings = Settings.from_fields(field(got.header, "settings", dict))
        names = field(got.header, "columns", list, items=str)
        if len({*names}) != len(names):
            raise FrameError("the model's columns must have different names")
        parties = field(got.header, "parties", list, low=1, items=str)
        size = field(got.header, "about", int, low=0, high=len(got.payload)) if "about" in got.header else 0
        known = field(got.header, "scored", int, low=0, high=len(got.payload) - size) if "scored" in got.header else 0
        end, last = len(got.payload) - size - known, len(got.payload) - known
        half = Half.from_parts(field(got.header, "arrays", list), got.payload[:end], settings, len(names))
        categories, profile = _about(bytes(got.payload[end:last]), names)
        before = _place(got.header, role, known)
        half.serial = field(got.header, "serial", bytes, high=SERIAL) if before is not None else b""
        if len(half.digests) != len(parties) or (role == "host" and (half.party > 0).any()):
            raise FrameError("the model's parties and trees do not match")
        model = cls(role=role, **{name: getattr(settings, name) for name in settings.__dataclass_fields__})
        model._fitted, model._half, model._parties, model.columns_ = settings, half, parties, names
        model.findings_ = []
        model.categories_, model.profile_, model.categorical = categories, profile, list(categories)
        if role == "guest":
            model.classes_ = _classes(field(got.header, "classes", list, length=2))
        else:
            field(got.header, "classes", list, length=0)
            scored = bytes(got.payload[last:])
            model.book_ = book_of(half, half.name, path, book, before=before, known=scored)
        model.certificate_ = field(got.header, "certificate", str, high=_PRINT) if "certificate" in got.header else ""
        model._importances()
        return model


def _false(party: str) -> str:
    return (
        f"{party!r} sent rows for its splits that do not have the sums it had sent before: it did not follow the "
        "protocol; do not use this model, and show both parties' logs to an auditor before you train with it again"
    )


def _place(header: Mapping[str, Any], role: str, known: int) -> bytes | None:
    """Return the place of a host's book when the half was saved; None in files of versions without books."""
    if role == "guest" or not {"book", "scored", "serial"} & set(header):
        if known or {"book", "serial"} & set(header):
            raise FrameError("frame fields 'book', 'scored' and 'serial' are for hosts")
        return None
    check_fields({name: header[name] for name in ("book", "scored", "serial") if name in header}, _BOOK)
    place = field(header, "book", bytes, low=1, high=1 << 15)
    if 0 in place or known % MARK:
        raise FrameError("frame field 'book' must be the path of a file, 'scored' a number of whole marks")
    return place


def _rows_of(table: Table) -> Table:
    if not table.rows:
        raise ValueError("X must have at least one row")
    return table


def _about(data: bytes, names: list[str]) -> tuple[dict[str, list[str]], list[ColumnProfile]]:
    """Read a model's profile and categories of its columns; models of version 0.1.0 have neither."""
    if not data:
        return {}, []
    try:
        plain = json.loads(data)
        categories = {str(name): [str(text) for text in texts] for name, texts in plain["categories"].items()}
        profile = [ColumnProfile.from_plain(each) for each in plain["profile"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FrameError(f"the model's profile of its columns is damaged: {error}"[:200]) from None
    if not categories.keys() <= set(names) or any(len(set(texts)) != len(texts) for texts in categories.values()):
        raise FrameError("the model's categories do not match its columns")
    return categories, profile


def _classes(listed: list[Any]) -> NDArray[Any]:
    kinds = {item.__class__ for item in listed}
    if len(kinds) != 1 or not kinds <= {bool, int, str}:
        raise FrameError("the model's labels are malformed")
    if not listed[0] < listed[1] or any(isinstance(item, int) and item.bit_length() > 63 for item in listed):
        raise FrameError("the model's labels must be two different ones, in order, of at most 64 bits")
    return np.array(listed)
