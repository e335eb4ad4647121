"""Trains logistic regressions of two parties: all values stay shared during the training."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._numeric import as_array, as_bool, as_int, as_real
from ...wire.frame import Kind
from ..align.ids import as_ids
from ..base import Estimator, check_certificate, check_pieces, check_role, names_of, peers_of, seed_of
from ..binning.estimator import WoEBinning
from ..book import Book, book_of, marks_of, place_of
from ..book import beside as beside_of
from ..findings import few_events, separating, tell, useless
from ..protocol.job import Keeper, Progress
from ..protocol.link import Link
from ..protocol.refusal import telling
from ..saving import load_frame, save_frame
from ..tables.columns import as_labels, as_scores, column_names
from ..tables.matrix import matching_table, real_table
from .calibration import Calibration, calibrated
from .config import (
    EXACT,
    MOST_BATCH,
    MOST_COLUMNS,
    MOST_EPOCHS,
    MOST_ROWS,
    RATES,
    SIGMOIDS,
    SLOPES,
    TOL_BITS,
    Config,
    HostBins,
    class_weights,
    plan_steps,
)
from .config import held_back as held_back_of
from .findings import alone, at_the_ends, scattered
from .job import LogisticJob
from .saved import SavedHalf
from .score import ScoreJob, probabilities

__all__ = ["LogisticRegression"]


class LogisticRegression(Estimator):
    """Logistic regression on the columns of a guest, who has the labels, and of a host.

    Both call :meth:`fit` at the same time, each with its own rows, in one order (:func:`intersect` aligns them). The
    guest's parameters apply to the training and are sent to the host; the host sets only its role, key size and random
    state.

    Parameters
    ----------
    role : {"guest", "host"}
        The guest has the labels.
    epochs : int, optional
        Largest number of passes over all rows, 1 to 1000. The default depends on the number of rows: 5 for many, up to
        60 for few; most trainings end earlier.
    batch_size : int, optional
        Largest number of rows of a step, 1 to 65536. By default all of up to 2048 rows, else a 64th of them, 1024 to
        8192.
    learning_rate : float, optional
        Size of a step, 2^-20 to 64. By default the inverse of the largest curvature that whitened columns can have
        (about 4 for the linear sigmoid): with it no column, of any scale or strength, makes steps grow. From twice that
        value on, columns can.
    l2 : float
        Weight of the ridge penalty, 0 to 1, on the coefficients of the standardised, decorrelated columns; the
        intercept is free.
    sigmoid : {"linear", "cubic"}
        ``0.5 + 0.125 z`` (PPCA 7-2023 5.2.3.1), or ``0.5 + 0.197 z - 0.004 z^3``, which takes some three times as long,
        and whose slope turns negative beyond 4, so that columns that separate the classes can make it diverge.
    class_weight : None, "balanced" or dict of label to float
        Factors of the labels 0 and 1, 0 or more; only their ratio matters, at most 4096 unless one is 0.
        "balanced": inversely proportional to the labels' counts, up to that ratio. The host learns that there are
        factors, not their values. Probabilities are calibrated to the unweighted labels.
    fit_intercept : bool
        Whether to fit an intercept; if so, each party's columns are centred.
    calibrate : bool
        Whether to hold back a tenth of the rows from the training (at least 20 or a quarter, at most 2000). The guest
        gets their joint scores and derives a map from scores to probabilities. Both parties' policies must allow it
        like a prediction. Without it no row is held back, and a model that is worse than chance goes unnoticed.
    reveal : tuple of {"coefficients", "scores"}
        What is opened beyond points, the same at both parties; the policies of both must grant it by name.
        "coefficients": each party's own to it. "scores": scores with 20 binary digits in place of points.
    tol : float, optional
        The training ends when an epoch lowers the loss by less than this share of it, 2^-16 to 1, and returns the
        result of the epoch before; with 0 it takes all epochs. By default ``0.5 / rows`` (``8 / rows`` with `binning`,
        whose columns are not decorrelated) where a step takes all rows, else 2^-13. The loss is the mean squared
        residual, which is the training's objective for the linear sigmoid.
    key_size : {3072, 2048, 4096}
        Bits of this party's key, which is made for one training.
    random_state : int or bytes, optional
        A number, or 32 bytes, from which both parties derive the order of rows and the rows held back. The guest's is
        fresh by default and is sent to the host; a host that sets one rejects any other.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.
    seed : bytes, optional
        The former name of `random_state`, with a FutureWarning.

    Attributes
    ----------
    coef_ : ndarray of float64, shape (d,)
        With ``reveal=("coefficients",)`` only: this party's coefficients. At the host of binned columns they multiply
        the guest's weights of evidence, whose means are in no constant: the parts add up to the scores but for a
        constant.
    intercept_ : float
        With it: this party's part of the intercept, the effect of centring its columns, and at the guest also the
        trained intercept. 0 at a host of binned columns: its part is minus the sum of each coefficient times the mean
        weight of evidence over the training rows, where the weights are revealed to it.
    points_per_unit_ : float
        At the guest: points of a unit of the score; 20 points double the odds near the average customer (fewer where
        events are rarer than some 4 %).
    columns_ : list of str
        Names of this party's columns.
    n_iter_ : int
        Epochs taken.
    sigmoid_ : str
        The guest's `sigmoid`.
    calibration_ : Calibration or None
        The guest's map from scores to probabilities, with ``intercept`` and ``slope``.
    calibration_scores_ : ndarray of float64
        The guest's joint scores of the rows held back to calibrate, after a training with any; not saved.
    findings_ : list of str
        At the guest: the texts of :class:`~bluetusk.DataWarning` about the labels, its columns and the rows held back.
    model_ : bytes
        32 bytes that identify the training, the same at both parties. Halves of different trainings do not predict
        together.

    Notes
    -----
    **What each side learns.** Weights, scores, residuals, gradients and losses are shared modulo 2^96, the weights also
    afterwards: each party sees uniform numbers, and ciphertexts under the other's key. What it decrypts has a mask that
    is uniform modulo n, and is re-randomised so that the encryptor cannot solve for what was computed. Both learn after
    each epoch but the first whether the training goes on, and nothing else of the loss; the host learns the parameters
    of the training; both learn the number of rows and of the other's columns; with `binning` the guest learns a bound
    of the curvature of the host's columns, which depends on no label. With `calibrate`, and at :meth:`predict_proba`,
    the guest learns points, 10 bits a row: many of them reveal the host's columns in part, and the host's policy must
    allow them and should limit their number. The parties are assumed to follow the protocol; of a guest that does not,
    the 10 bits of a row still hold.

    The form is that of CAESAR [1]_ and of FATE's SSHE-LR; packing, fixed point and the size of steps are in
    ``docs/how-to/logistic.md``. Rank rows by their scores: probabilities are a monotone function of them.

    References
    ----------
    .. [1] C. Chen et al., "When Homomorphic Encryption Marries Secret Sharing: Secure Large-Scale Sparse Logistic
       Regression and Applications in Risk Control", KDD 2021.

    Examples
    --------
    >>> import threading, numpy as np, bluetusk as bt
    >>> from bluetusk.vertical import LogisticRegression, local_links
    >>> X = np.random.default_rng(0).normal(size=(64, 2))
    >>> y = (X.sum(axis=1) > 0).astype(int)
    >>> links = local_links()
    >>> guest = LogisticRegression("guest", key_size=2048)
    >>> host = LogisticRegression("host", key_size=2048)
    >>> other = threading.Thread(target=host.fit, args=(X[:, 1:],), kwargs={"link": links[1], "ids": range(64)})
    >>> other.start()
    >>> guest = guest.fit(X[:, :1], y, link=links[0])
    >>> other.join()
    >>> guest.points_per_unit_ > 10, hasattr(guest, "coef_")
    (True, False)
    """

    calibration_: Calibration | None
    findings_: list[str]

    def __init__(
        self,
        role: str = "guest",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        l2: float = 0.001,
        sigmoid: str = "linear",
        class_weight: str | Mapping[int, float] | None = None,
        fit_intercept: bool = True,
        calibrate: bool = True,
        reveal: Sequence[str] = (),
        tol: float | None = None,
        key_size: int = 3072,
        random_state: int | bytes | None = None,
        threads: int | None = None,
        seed: bytes | None = None,
    ) -> None:
        self.role = role
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.l2 = l2
        self.sigmoid = sigmoid
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.calibrate = calibrate
        self.reveal = reveal
        self.tol = tol
        self.key_size = key_size
        self.random_state = random_state
        self.threads = threads
        self.seed = seed

    def _seed(self) -> bytes | None:
        if self.seed is None:
            return seed_of(self.random_state, "logistic")
        if self.random_state is not None:
            raise ValueError(
                "random_state and seed are both given: seed is the former name of random_state, leave it out"
            )
        warnings.warn("seed is now called random_state: use that name", FutureWarning, stacklevel=4)
        return seed_of(self.seed, "logistic", "seed")

    @telling
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        link: Link,
        columns: Sequence[str] | None = None,
        binning: WoEBinning | None = None,
        held_back: ArrayLike | None = None,
        ids: Sequence[Any] | None = None,
        beside: str | os.PathLike[str] | None = None,
        agreed: bool = False,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> LogisticRegression:
        """Train together with the other party.

        Parameters
        ----------
        X : array_like or DataFrame, shape (n, d)
            This party's rows: finite numbers of any scale.
        y : array_like, shape (n,)
            The guest's labels, 0 or 1; None at the host.
        link : Link
            To the other party.
        columns : sequence of str, optional
            Names; by default those of a DataFrame, or x0, x1, ...
        binning : WoEBinning, optional
            This party's half of a binning of the host's columns, at both parties or at neither. The host then trains on
            bins whose weights of evidence it does not know (columns below the limit of :meth:`WoEBinning.select` have
            the weight 0, which it does not notice); its `X` is the table that the binning was fitted to, of any
            kind of values. The guest's `X` are numbers as always, such as ``binning.transform(table)``.
        held_back : array_like of bool, shape (n,), optional
            Rows to hold back for the calibration in place of those that the random state draws. They must be the same
            at both parties and be drawn before anything is fitted to them (a bin that was fitted to them would flatter
            the model).
        ids : sequence, optional
            The rows' ids: the host gives them if the guest holds back rows, whose points open at the end, so that it
            can refuse to score them again.
        beside : path-like, optional
            The path that the host's half will be saved to: its book of scored rows is made beside it (:meth:`save`)
            before the points of rows held back open, so that a training that is resumed from an older state does not
            open them again with another rounding. Without it the book is in memory, and a call that resumes a training
            knows nothing of an earlier opening.
        agreed : bool
            At the host: whether the guest's parameters must be those of this object, which is then made as the guest
            makes its own. By default the host trains with any.
        keeper : Keeper, optional
            Keeps the state after each batch; see :class:`~bluetusk.vertical.protocol.job.Keeper`.
        progress : callable, optional
            Called as ``progress("logistic_regression", steps taken, steps)``.

        Returns
        -------
        LogisticRegression
            This one.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, `X` has no rows, too many rows or columns, a missing or infinite value or
            one that is not a number, the labels are not 0 and 1, the host has labels, `held_back` does not fit the
            rows, or the directory of `beside` does not exist.
        ProtocolAbort, FrameError, InvalidCiphertext, DecryptionError
            If the other party violates the protocol, sends a damaged message, aborts, or has another number of rows or,
            if `agreed`, other parameters.
        EncodingOverflow
            If the training diverged, which needs the cubic sigmoid or an explicit learning rate; it is noticed only
            where coefficients are opened.
        PolicyRefused
            If the link's observer does not allow the training, or the rows held back were opened before with another
            share, as the host's book says.

        Warns
        -----
        DataWarning
            At the guest: if fewer than 20 rows have one of the labels, a column of the guest separates the labels, the
            training ended while the loss still fell, points of rows held back reach the ends or are spread as by
            chance, as those of a training that diverged, or the joint model on these rows is worse than chance, not
            distinguishable from chance, or worse than the guest's columns alone.

        Examples
        --------
        >>> LogisticRegression("guest").fit([[1.0], [float("nan")]], [0, 1], link=None)
        Traceback (most recent call last):
            ...
        ValueError: X[1, 0], of the column 'x0', is NaN or infinite: impute it, or bin the columns first (WoEBinning)
        """
        shared = self._shared()
        guest, key_size = shared["role"] == "guest", shared["key_size"]
        reveal = self._reveal()
        table: NDArray[Any]
        bins: HostBins | None
        if binning is not None and not guest:
            names, table, bins = _coded(binning, X, columns)
        else:
            names, table = real_table(X, columns, MOST_COLUMNS)
            bins = None if binning is None else _valued(binning)
        if len(table) > MOST_ROWS:
            raise ValueError(f"X must have at most {MOST_ROWS} rows, not {len(table)}")
        chosen = _chosen(held_back, len(table))
        named = None if ids is None else as_ids(ids)
        if named is not None and len(named) != len(table):
            raise ValueError(f"ids has {len(named)} ids for {len(table)} rows: give one for each")
        place = None if beside is None else place_of(beside)
        agreed = as_bool(agreed, "agreed")
        config = self._config(len(table), chosen, bins is not None, reveal)
        once = os.urandom(32) if keeper is None else b""
        self.binning_ = binning
        if not guest:
            if y is not None:
                raise ValueError("y must be None at the host: only the guest has labels")
            class_weights(self.class_weight, np.arange(2))  # refused here too, though only the guest's apply
            job = LogisticJob(
                "host",
                table,
                names,
                key_size,
                seed=self._seed(),
                held_back=chosen,
                bins=bins,
                reveal=reveal,
                ids=named,
                expected=config if agreed else None,
                place=place,
                once=once,
            )
            self._drive(job, peers_of("host", link), keeper, progress)
            self._take(job, names, link.certificate)
            self.book_ = job.book(create=False)  # the opening made it, now or before the training was resumed
            return self
        if y is None:
            raise ValueError("the guest needs labels: give y")
        labels = as_labels(y, len(table))
        weights = class_weights(self.class_weight, labels)
        job = LogisticJob(
            "guest",
            table,
            names,
            key_size,
            config=config,
            labels=labels,
            class_weights=weights,
            seed=self._seed(),
            held_back=chosen,
            bins=bins,
            once=once,
        )
        findings = [*few_events(labels), *separating(names, list(table.T), labels)]
        limit = 2.0 / (2.0 * SLOPES[config.sigmoid] + config.l2)
        if config.learning_rate is not None and config.learning_rate > limit:
            findings.append(
                f"learning_rate is {config.learning_rate:g}: above {limit:.3g} steps can grow without end, which "
                "nobody sees, since the weights stay shared; leave it out"
            )
        self._drive(job, peers_of("guest", link), keeper, progress)
        self._take(job, names, link.certificate)
        self.findings_ = findings
        found = []
        if config.tol and not job.stopped:
            found.append(
                f"the training ended after {job.epochs} epochs while its loss still fell: set more epochs, or look "
                "for columns of both parties that are nearly the same"
            )
        if job.scores is not None:
            held = labels[job.held]
            self.calibration_scores_ = job.scores
            self.calibration_ = calibrated(job.scores, held, float(labels.mean()), SLOPES[config.sigmoid])
            if "scores" not in reveal and job.points is not None:
                points = job.points.points(job.scores)
                found += scattered(points) or at_the_ends(points)
            assert job.whitening is not None
            own = alone(job.whitening, table[job.used], labels[job.used], table[job.held])
            found += useless(held, job.scores, own)
        self.findings_ = findings + found
        tell(self.findings_)  # after the job: made an error, a finding about labels must not reach the host
        return self

    def _take(self, job: LogisticJob, names: list[str], certificate: str) -> None:
        assert job.config is not None
        self.columns_ = names
        self.half_, self.counted_ = job.half, job.counted
        self.book_ = Book(self.half_, job.model)
        self.scale_ = job.points
        if job.points is not None:
            self.points_per_unit_ = job.points.unit
        for name in ("coef_", "intercept_"):
            vars(self).pop(name, None)
        if job.coefficients is not None:
            self.coef_, self.intercept_ = job.coefficients
        self.sigmoid_ = job.config.sigmoid
        self.n_iter_ = job.epochs
        self.model_ = job.model
        self.certificate_ = certificate
        self.calibration_ = None
        vars(self).pop("calibration_scores_", None)
        self.findings_ = []
        if job.key is not None:
            job.key.close()

    def _reveal(self) -> tuple[str, ...]:
        names = (self.reveal,) if isinstance(self.reveal, str) else self.reveal  # one name may stand alone
        return tuple(sorted(names_of(names, "reveal", EXACT)))

    def _config(self, rows: int, chosen: NDArray[np.int64] | None, binned: bool, reveal: tuple[str, ...]) -> Config:
        if not isinstance(self.sigmoid, str) or self.sigmoid not in SIGMOIDS:
            raise ValueError(f'sigmoid must be "linear" or "cubic", not {self.sigmoid!r:.64}')
        held = held_back_of(rows) if as_bool(self.calibrate, "calibrate") else 0
        if chosen is not None:
            held = len(chosen)
        batch, epochs = plan_steps(rows - held)
        if self.epochs is not None:
            epochs = as_int(self.epochs, "epochs", 1, MOST_EPOCHS)
        if self.batch_size is not None:
            batch = as_int(self.batch_size, "batch_size", 1, MOST_BATCH)
        least = 2.0**-TOL_BITS
        if self.tol is None:
            usual = (8.0 if binned else 0.5) / rows if batch >= rows - held else 2.0**-13
            tol = min(max(usual, least), 1.0)
        else:
            tol = as_real(self.tol, "tol", 0.0, 1.0)
            if 0.0 < tol < least:
                raise ValueError(f"tol must be 0, to take all epochs, or at least 2^-{TOL_BITS}, not {tol:g}")
        return Config(
            epochs=epochs,
            batch_size=batch,
            learning_rate=None if self.learning_rate is None else as_real(self.learning_rate, "learning_rate", *RATES),
            l2=as_real(self.l2, "l2", 0.0, 1.0),
            sigmoid=self.sigmoid,
            weighted=self.class_weight is not None,
            intercept=as_bool(self.fit_intercept, "fit_intercept"),
            tol=tol,
            held_back=held,
            binned=binned,
            reveal=reveal,
        )

    def _fitted(self) -> None:
        if not hasattr(self, "half_"):
            raise ValueError("this model is not fitted: call fit() with the other party, or load() it")

    @telling
    def decision_function(
        self,
        X: ArrayLike,
        *,
        link: Link,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64] | None:
        """Return the joint scores at the guest; the host takes part and gets None.

        Parameters
        ----------
        X : array_like or DataFrame, shape (n, d)
            This party's rows, in the order of the other's. A DataFrame's columns are matched by name. At the host of a
            binning, the table as in :meth:`fit`.
        link : Link
            To the other party.
        ids : sequence, optional
            The rows' ids, which a host must give: it refuses a row that this model has scored before, in this process
            or in another one. A guest may leave them out.
        keeper, progress : optional
            As for :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (n,), or None
            Scores z, rounded to points (:meth:`predict_points`); with ``reveal=("scores",)`` to 2^-20. None at the
            host. Rank rows by these.

        Raises
        ------
        ValueError
            If the model is not fitted, a column of the fit is missing, an array has another number of columns, or `ids`
            has another number of ids or one twice, or is missing at the host.
        ProtocolAbort, FrameError, PolicyRefused
            As for :meth:`fit`; PolicyRefused also for rows that were scored before, FrameError if the host's book of
            them is missing or was altered.

        Examples
        --------
        >>> LogisticRegression("host").decision_function([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        half, role = self.half_, check_role(self.role)
        self._shared(), self._reveal()  # checked before the rows
        table: NDArray[Any]
        if half.bins is not None and role == "host":
            if self.binning_ is None:
                raise ValueError("the model was trained on bins: give the host's binning to load()")
            table = self.binning_.codes(X, self.columns_)
        else:
            table = matching_table(X, self.columns_)
        if ids is None and role == "host":
            raise ValueError("ids is missing: give the rows' ids, so that this host scores each row once")
        marks = [] if ids is None else marks_of(self.model_, ids)
        if ids is not None and len(marks) != len(table):
            raise ValueError(f"ids has {len(marks)} ids for {len(table)} rows: give one for each")
        return self._scored(table, peers_of(role, link), marks, keeper, progress)

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
    ) -> NDArray[np.float64] | None:
        """Return the joint scores of rows that are not in memory at once, as :meth:`decision_function` of the others.

        Parameters
        ----------
        table : sequence of rows
            Its slices are arrays of numbers in the order of `columns_`; at the host of a binning, of codes.
        link, ids, keeper, progress
            As for :meth:`decision_function`; a guest may leave `ids` out.
        inputs : bytes
            A hash of all rows, by which kept steps belong to them.

        Returns
        -------
        ndarray of float64, shape (n,), or None

        Raises
        ------
        ValueError, ProtocolAbort, FrameError, PolicyRefused
            As for :meth:`decision_function`.

        Examples
        --------
        See :meth:`decision_function`.

        >>> LogisticRegression.score_pieces.__name__
        'score_pieces'
        """
        self._fitted()
        role = check_role(self.role)
        check_pieces(table, self.columns_, ids, role)
        marks = [] if ids is None else marks_of(self.model_, ids)
        if ids is not None and len(marks) != len(table):
            raise ValueError(f"ids has {len(marks)} ids for {len(table)} rows: give one for each")
        return self._scored(table, peers_of(role, link), marks, keeper, progress, inputs=inputs)

    def _scored(
        self,
        table: Any,
        peers: Sequence[Link],
        marks: Sequence[bytes],
        keeper: Keeper | None,
        progress: Progress | None,
        *,
        inputs: bytes = b"",
    ) -> NDArray[np.float64] | None:
        """Score the rows of a table of numbers, or of a host's codes, or of what has slices as one."""
        check_certificate(self.certificate_, peers)
        job = ScoreJob(
            self.half_,
            self.model_,
            self.counted_,
            table,
            self.columns_,
            self._shared()["key_size"],
            points=self.scale_,
            exact="scores" in self._reveal(),
            book=self.book_ if check_role(self.role) == "host" else None,
            marks=marks,
            inputs=inputs,
        )
        self._drive(job, peers, keeper, progress)
        return job.scores

    @telling
    def predict_points(
        self,
        X: ArrayLike,
        *,
        link: Link,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.int64] | None:
        """Return the points of rows at the guest; the host takes part and gets None.

        Parameters
        ----------
        X, link, ids, keeper, progress
            As for :meth:`decision_function`.

        Returns
        -------
        ndarray of int64, shape (n,), or None
            0 to 1023; None at the host. Without class weights and with an intercept the average customer has 256; 20
            more double the odds of the event near it (fewer where events are rarer than some 4 %). What exceeds an end
            comes in at the other one.

        Raises
        ------
        ValueError, ProtocolAbort, FrameError, PolicyRefused
            As for :meth:`decision_function`.

        Examples
        --------
        >>> LogisticRegression("host").predict_points([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        scores = self.decision_function(X, link=link, ids=ids, keeper=keeper, progress=progress)
        return None if scores is None or self.scale_ is None else self.scale_.points(scores)

    @telling
    def predict_proba(
        self,
        X: ArrayLike,
        *,
        link: Link,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64] | None:
        """Return the probabilities of both labels at the guest; the host takes part and gets None.

        Parameters
        ----------
        X, link, ids, keeper, progress
            As for :meth:`decision_function`.

        Returns
        -------
        ndarray of float64, shape (n, 2), or None
            Probabilities of the labels 0 and 1, by the calibration; without one by the sigmoid of the training, clipped
            to 0 .. 1. None at the host.

        Raises
        ------
        ValueError, ProtocolAbort, FrameError, PolicyRefused
            As for :meth:`decision_function`.

        Examples
        --------
        >>> LogisticRegression("host").predict_proba([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        scores = self.decision_function(X, link=link, ids=ids, keeper=keeper, progress=progress)
        if scores is None:
            return None
        one = self.probability(scores)
        return np.column_stack([1.0 - one, one])

    def probability(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of label 1 for joint scores, at the guest.

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
            If the model is not fitted, or a score is missing, infinite or not a number.

        Examples
        --------
        >>> LogisticRegression().probability([0.0])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        values = as_scores(scores, "scores")
        if self.calibration_ is not None:
            return self.calibration_.probability(values)
        return probabilities(values, self.sigmoid_)[:, 1]

    @telling
    def predict(
        self,
        X: ArrayLike,
        *,
        link: Link,
        ids: Sequence[Any] | None = None,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.int64] | None:
        """Return the more likely label of each row at the guest; the host takes part and gets None.

        Parameters
        ----------
        X, link, ids, keeper, progress
            As for :meth:`decision_function`.

        Returns
        -------
        ndarray of int64, shape (n,), or None
            0 or 1; None at the host.

        Raises
        ------
        ValueError, ProtocolAbort, FrameError, PolicyRefused
            As for :meth:`decision_function`.

        Examples
        --------
        >>> LogisticRegression("host").predict([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        found = self.predict_proba(X, link=link, ids=ids, keeper=keeper, progress=progress)
        return None if found is None else (found[:, 1] > 0.5).astype(np.int64)

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes | None = None, *, sealed: bool = True) -> None:
        """Write this half of the model to a file of mode 0600, whole or not at all.

        A host's first save makes another file beside it, ``<path>.<8 hexadecimal digits of the model>.scored``: the
        book of the rows that the model has scored. Every scoring with this half, or with a copy of it, reads the book
        and writes to it, before points leave.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced. The book never is.
        passphrase : str or bytes, optional
            Encrypts the file (scrypt, AES-256-GCM).
        sealed : bool
            False to write the file without a passphrase. Both halves together are the whole model, with every
            coefficient.

        Raises
        ------
        ValueError
            If the model is not fitted, or there is no passphrase though `sealed` is True.
        OSError
            If the file cannot be read or written.

        Examples
        --------
        >>> LogisticRegression("host").save("model")
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        if passphrase is None and as_bool(sealed, "sealed"):
            raise ValueError("passphrase is missing: give one, or sealed=False to write the half without")
        if not self.half_.guest and not self.book_.path:
            self.book_.keep(beside_of(path, self.model_), create=True)
        saved = SavedHalf(
            role=self.role,
            columns=self.columns_,
            sigmoid=self.sigmoid_,
            model=self.model_,
            counted=self.counted_,
            epochs=self.n_iter_,
            key_size=int(self.key_size),
            exact="scores" in self._reveal(),
            calibration=self.calibration_,
            points=self.scale_,
            binning=getattr(self.binning_, "label_digest_", b""),
            half=self.half_,
            book=os.fsencode(self.book_.path),
            scored=self.book_.to_bytes(),
            certificate=self.certificate_,
        )
        save_frame(path, saved.to_frame(), passphrase)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        passphrase: str | bytes | None = None,
        *,
        binning: WoEBinning | None = None,
        book: str | os.PathLike[str] | None = None,
    ) -> LogisticRegression:
        """Read a half that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes, optional
            The passphrase that it was saved with.
        binning : WoEBinning, optional
            The binning that it was trained with; the host needs it.
        book : path-like, optional
            A host's book of the rows that the model has scored, if it is no longer where it was when the half was
            saved, nor beside the half.

        Returns
        -------
        LogisticRegression
            Ready to predict; of the training's parameters, role, sigmoid, key size and "scores" in `reveal` are kept.

        Raises
        ------
        FrameError
            If the file is not a half of a logistic regression, is damaged, does not open with the passphrase, or holds
            open coefficients, as earlier versions wrote them; or if a host's book of scored rows is missing, was
            altered, or is older than the half.
        ValueError
            If the binning is missing or has other bins.
        OSError
            If the file cannot be read or written.

        Examples
        --------
        >>> LogisticRegression.load("/dev/null")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
        """
        got = SavedHalf.from_frame(load_frame(path, Kind.LOGISTIC_REGRESSION, passphrase))
        model = cls(got.role)
        model.columns_, model.half_, model.model_, model.counted_ = got.columns, got.half, got.model, got.counted
        model.sigmoid = model.sigmoid_ = got.sigmoid
        model.n_iter_, model.key_size = got.epochs, got.key_size
        model.reveal = ("scores",) if got.exact else ()
        model.calibration_, model.scale_, model.findings_ = got.calibration, got.points, []
        model.certificate_ = got.certificate
        if got.points is not None:
            model.points_per_unit_ = got.points.unit
        model.binning_ = None if binning is None else _half_of(binning, got.role)
        if got.role == "host" and got.half.bins is not None:
            sizes = None if binning is None else tuple(each.n_bins for each in binning.bins_)
            if binning is None or (sizes, binning.label_digest_) != (got.half.bins.sizes, got.binning):
                raise ValueError("binning must be the one that the model was trained with: load it first, and give it")
        if got.role == "host":
            model.book_ = book_of(got.half, got.model, path, book, before=got.book, known=got.scored)
        else:
            model.book_ = Book(got.half, got.model)
        return model


def _half_of(binning: object, role: str) -> WoEBinning:
    """Return this party's half of a binning."""
    if not isinstance(binning, WoEBinning):
        raise TypeError(f"binning must be a WoEBinning, not {type(binning).__name__}")
    if not hasattr(binning, "bins_"):
        raise ValueError("binning is not fitted: fit it with the other party first, or load() it")
    if binning.role != role:
        raise ValueError(f"binning is the {binning.role}'s half: give the {role} its own")
    return binning


def _valued(binning: WoEBinning) -> HostBins:
    """Return what the guest's half of a binning says of the host's columns."""
    hosts = len(_half_of(binning, "guest").hosts_)
    if hosts != 1:
        raise ValueError(f"binning has columns of {hosts} hosts: a regression has one, so bin with that one")
    return HostBins(binning.peer_counts(), binning.peer_values(), binning.label_digest_)


def _coded(binning: WoEBinning, X: Any, columns: Sequence[str] | None) -> tuple[list[str], NDArray[np.int64], HostBins]:
    """Return the names, codes and bins of a host's binned columns."""
    names = list(_half_of(binning, "host").columns_)
    if columns is not None and column_names(columns) != names:
        raise ValueError(f"columns must be those of the binning in its order, {names}, not {list(columns)}")
    return (
        names,
        binning.codes(X, columns),
        HostBins([each.rows for each in binning.bins_], None, binning.label_digest_),
    )


def _chosen(held_back: ArrayLike | None, rows: int) -> NDArray[np.int64] | None:
    if held_back is None:
        return None
    mask = as_array(held_back, "held_back")
    if mask.shape != (rows,) or mask.dtype != np.bool_:
        raise ValueError(
            f"held_back must hold a bool for each of the {rows} rows, not {mask.dtype} of shape {mask.shape}"
        )
    if mask.all():
        raise ValueError("held_back is True for all rows: leave some to train on")
    return np.flatnonzero(mask)
