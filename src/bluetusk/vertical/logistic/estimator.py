"""Trains logistic regressions of two parties: all values stay shared during the training."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._numeric import as_array, as_int
from ...errors import FrameError
from ...wire.frame import Kind, check_fields, encode, field
from ..base import Estimator, check_role, peers_of, seed_of
from ..findings import few_events, separating, tell, useless
from ..protocol.job import Keeper, Progress
from ..protocol.link import Link
from ..protocol.refusal import telling
from ..saving import load_frame, save_frame
from ..tables.columns import as_labels
from ..tables.matrix import matching_table, real_table
from .calibration import Calibration, calibrated
from .job import (
    CLASS_BITS,
    MOST_COLUMNS,
    MOST_ROWS,
    SIGMOIDS,
    SLOPES,
    Config,
    LogisticJob,
    plan_steps,
    rounded_scores,
)
from .job import held_back as held_back_of
from .score import ScoreJob, probabilities

__all__ = ["LogisticRegression"]

_FIELDS = ("calibration", "columns", "epochs", "model", "role", "sigmoid")
_FIELDS_1 = ("columns", "epochs", "losses", "model", "role", "sigmoid")
"""Version of models of 0.1.0: coefficients in units of 2^-20, and no calibration."""
_LARGEST = 1e300  # of a coefficient


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
        Factors of the labels 0 and 1, 0 or more; only their ratio matters. "balanced": inversely proportional to the
        labels' counts. The host learns that there are factors, not their values. Probabilities are calibrated to the
        unweighted labels.
    fit_intercept : bool
        Whether to fit an intercept; if so, each party's columns are centred.
    calibrate : bool
        Whether to hold back a tenth of the rows from the training (at least 20 or a quarter, at most 2000). The guest
        gets their joint scores and derives a map from scores to probabilities. Both parties' policies must allow it
        like a prediction. Without it no row is held back, and a model that is worse than chance goes unnoticed.
    tol : float, optional
        The training ends when an epoch lowers the loss by less than this share of it, 2^-16 to 1, and returns the
        result of the epoch before; with 0 it takes all epochs. By default ``0.5 / rows`` where a step takes all rows,
        else 2^-13. The loss is the mean squared residual, which is the training's objective for the linear sigmoid.
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
        This party's coefficients; it does not know the other's.
    intercept_ : float
        This party's part of the intercept: the effect of centring its columns, and at the guest also the trained
        intercept.
    columns_ : list of str
        Names of this party's columns.
    n_iter_ : int
        Epochs taken.
    sigmoid_ : str
        The guest's `sigmoid`.
    calibration_ : Calibration or None
        The guest's map from scores to probabilities, with ``intercept`` and ``slope``.
    findings_ : list of str
        At the guest: the texts of :class:`~bluetusk.DataWarning` about the labels, its columns and the rows held back.
    model_ : bytes
        32 bytes that identify the training, the same at both parties. Halves of different trainings do not predict
        together.

    Notes
    -----
    **What each side learns.** Weights, scores, residuals, gradients, losses and the sums on the way to them are shared
    modulo 2^96 for the whole training: each party sees uniform numbers, and ciphertexts under the other's key. What it
    decrypts is masked uniformly modulo n, and re-randomised so that the encryptor cannot solve for what was computed.
    At the end each party learns its own coefficients; both learn after each epoch but the first whether the training
    goes on, and nothing else of the loss; the host learns the parameters of the training, both learn the number of rows
    and of the other's columns. With `calibrate`, and at :meth:`predict_proba`, the guest learns the joint score of each
    of these rows and so, by subtracting its own part, the host's part: many of them reveal the host's columns in part,
    which the host's policy must allow. The parties are assumed to follow the protocol.

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
    >>> other = threading.Thread(target=host.fit, args=(X[:, 1:],), kwargs={"link": links[1]})
    >>> other.start()
    >>> guest = guest.fit(X[:, :1], y, link=links[0])
    >>> other.join()
    >>> bool(guest.coef_[0] > 0.5 and host.coef_[0] > 0.5)
    True
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
        held_back: ArrayLike | None = None,
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
        held_back : array_like of bool, shape (n,), optional
            Rows to hold back for the calibration in place of those that the random state draws. They must be the same
            at both parties and be drawn before anything is fitted to them (a bin that was fitted to them would flatter
            the model).
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
            one that is not a number, the labels are not 0 and 1, the host has labels, or `held_back` does not fit the
            rows.
        ProtocolAbort, FrameError, InvalidCiphertext, DecryptionError
            If the other party violates the protocol, sends a damaged message, aborts, or has another number of rows.
        EncodingOverflow
            If the training diverged, which needs the cubic sigmoid or an explicit learning rate.
        PolicyRefused
            If the link's observer does not allow the training.

        Warns
        -----
        DataWarning
            At the guest: if fewer than 20 rows have one of the labels, a column of the guest separates the labels, the
            training ended while the loss still fell, or the joint model on the rows held back is worse than chance, not
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
        names, table = real_table(X, columns, MOST_COLUMNS)
        if len(table) > MOST_ROWS:
            raise ValueError(f"X must have at most {MOST_ROWS} rows, not {len(table)}")
        chosen = _chosen(held_back, len(table))
        if not guest:
            if y is not None:
                raise ValueError("y must be None at the host: only the guest has labels")
            job = LogisticJob("host", table, names, key_size, seed=self._seed(), held_back=chosen)
            self._drive(job, peers_of("host", link), keeper, progress)
            self._take(job, names)
            return self
        if y is None:
            raise ValueError("the guest needs labels: give y")
        labels, config = as_labels(y, len(table)), self._config(len(table), chosen)
        weights = self._class_weights(labels)
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
        )
        findings = [*few_events(labels), *separating(names, list(table.T), labels)]
        tell(findings)
        self._drive(job, peers_of("guest", link), keeper, progress)
        self._take(job, names)
        self.findings_ = findings
        found = []
        if config.tol and not job.stopped:
            found.append(
                f"the training ended after {job.epochs} epochs while its loss still fell: set more epochs, or look "
                "for columns of both parties that are nearly the same"
            )
        if job.scores is not None:
            held = labels[job.held]
            self.calibration_ = calibrated(job.scores, held, float(labels.mean()), SLOPES[config.sigmoid])
            found += useless(held, job.scores, _alone(table, labels, job))
        self.findings_ = findings + found
        tell(found)
        return self

    def _take(self, job: LogisticJob, names: list[str]) -> None:
        assert job.config is not None
        self.columns_ = names
        self.coef_, self.intercept_ = job.coefficients
        self.sigmoid_ = job.config.sigmoid
        self.n_iter_ = job.epochs
        self.model_ = job.model
        self.calibration_ = None
        self.findings_ = []
        if job.key is not None:
            job.key.close()

    def _config(self, rows: int, chosen: NDArray[np.int64] | None) -> Config:
        if self.sigmoid not in SIGMOIDS:
            raise ValueError(f'sigmoid must be "linear" or "cubic", not {self.sigmoid!r}')
        held = (held_back_of(rows) if self.calibrate else 0) if chosen is None else len(chosen)
        batch, epochs = plan_steps(rows - held)
        told: dict[str, Any] = {
            "epochs": epochs if self.epochs is None else as_int(self.epochs, "epochs", 1),
            "batch_size": batch if self.batch_size is None else as_int(self.batch_size, "batch_size", 1),
            "learning_rate": "" if self.learning_rate is None else float(self.learning_rate).hex(),
            "l2": float(self.l2).hex(),
            "sigmoid": self.sigmoid,
            "weighted": self.class_weight is not None,
            "intercept": bool(self.fit_intercept),
            "held_back": held,
        }
        exact = told["batch_size"] >= rows - held
        told["tol"] = ((0.5 / rows if exact else 2.0**-13) if self.tol is None else float(self.tol)).hex()
        try:
            return Config.from_fields(told)
        except FrameError as error:
            raise ValueError(str(error).replace("frame field", "parameter")) from None

    def _class_weights(self, labels: NDArray[np.int64]) -> tuple[int, int] | None:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str):
            if self.class_weight != "balanced":
                raise ValueError(f'class_weight must be None, "balanced" or a dict, not {self.class_weight!r}')
            counts = np.bincount(labels, minlength=2)
            given = {k: len(labels) / (2 * max(1, int(counts[k]))) for k in (0, 1)}
        else:
            given = {k: float(self.class_weight.get(k, 1.0)) for k in (0, 1)}
        largest, least = max(given.values()), min(given.values())
        if not (all(math.isfinite(v) and v >= 0 for v in given.values()) and largest > 0):
            raise ValueError(f"class_weight must be at least 0 for each label and above 0 for one, not {given}")
        if 0 < least < largest / (1 << (CLASS_BITS - 4)):
            raise ValueError(f"class_weight must differ by a factor of at most {1 << (CLASS_BITS - 4)}, not {given}")
        return round(given[0] / largest * (1 << CLASS_BITS)), round(given[1] / largest * (1 << CLASS_BITS))

    def _fitted(self) -> None:
        if not hasattr(self, "coef_"):
            raise ValueError("this model is not fitted: call fit() with the other party, or load() it")

    @telling
    def decision_function(
        self,
        X: ArrayLike,
        *,
        link: Link,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64] | None:
        """Return the joint scores at the guest; the host takes part and gets None.

        Parameters
        ----------
        X : array_like or DataFrame, shape (n, d)
            This party's rows, in the order of the other's. A DataFrame's columns are matched by name.
        link : Link
            To the other party.
        keeper, progress : optional
            As for :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (n,), or None
            Scores z, the sum of two parts rounded to 2^-20; None at the host. Rank rows by these.

        Raises
        ------
        ValueError
            If the model is not fitted, a column of the fit is missing, or an array has another number of columns.
        ProtocolAbort, FrameError, PolicyRefused
            As for :meth:`fit`.

        Examples
        --------
        >>> LogisticRegression("host").decision_function([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        own = rounded_scores(matching_table(X, self.columns_) @ self.coef_ + self.intercept_)
        job = ScoreJob(check_role(self.role), self.model_, own, self.columns_)
        self._drive(job, peers_of(self.role, link), keeper, progress)
        return job.scores

    @telling
    def predict_proba(
        self,
        X: ArrayLike,
        *,
        link: Link,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64] | None:
        """Return the probabilities of both labels at the guest; the host takes part and gets None.

        Parameters
        ----------
        X, link, keeper, progress
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
        scores = self.decision_function(X, link=link, keeper=keeper, progress=progress)
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
        ValueError
            If the model is not fitted.

        Examples
        --------
        >>> LogisticRegression().probability([0.0])
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        values = as_array(scores, "scores", np.float64)
        if self.calibration_ is not None:
            return self.calibration_.probability(values)
        return probabilities(values, self.sigmoid_)[:, 1]

    @telling
    def predict(
        self,
        X: ArrayLike,
        *,
        link: Link,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.int64] | None:
        """Return the more likely label of each row at the guest; the host takes part and gets None.

        Parameters
        ----------
        X, link, keeper, progress
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
        found = self.predict_proba(X, link=link, keeper=keeper, progress=progress)
        return None if found is None else (found[:, 1] > 0.5).astype(np.int64)

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> None:
        """Write this half of the model to a file of mode 0600, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced.
        passphrase : str or bytes, optional
            Encrypts the file (scrypt, AES-256-GCM).

        Raises
        ------
        ValueError
            If the model is not fitted.
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
        found = self.calibration_
        header = {
            "role": self.role,
            "columns": self.columns_,
            "sigmoid": self.sigmoid_,
            "model": self.model_,
            "epochs": self.n_iter_,
            "calibration": [] if found is None else [found.intercept.hex(), found.slope.hex()],
        }
        values = np.append(self.coef_, self.intercept_)
        save_frame(path, encode(Kind.LOGISTIC_REGRESSION, header, values.astype("<f8").tobytes()), passphrase)

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> LogisticRegression:
        """Read a half that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        passphrase : str or bytes, optional
            The passphrase that it was saved with.

        Returns
        -------
        LogisticRegression
            Ready to predict; of the training's parameters, only role and sigmoid are kept.

        Raises
        ------
        FrameError
            If the file is not a half of a logistic regression, is damaged, or does not open with the passphrase.
        OSError
            If the file cannot be read or written.

        Examples
        --------
        >>> LogisticRegression.load("/dev/null")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: /dev/null is not a regular file of at most 1 GiB
        """
        got = load_frame(path, Kind.LOGISTIC_REGRESSION, passphrase)
        head = got.header
        first = "losses" in head
        check_fields(head, _FIELDS_1 if first else _FIELDS)
        columns = field(head, "columns", list, low=1, high=MOST_COLUMNS, items=str)
        model = cls(field(head, "role", str, choices=("guest", "host")))
        model.sigmoid = model.sigmoid_ = field(head, "sigmoid", str, choices=SIGMOIDS)
        model.model_ = field(head, "model", bytes, length=32)
        model.n_iter_ = field(head, "epochs", int, low=1, high=1000)
        model.calibration_ = None if first else _calibration(field(head, "calibration", list, high=2, items=str))
        model.findings_ = []
        if len(got.payload) != 8 * (len(columns) + 1):
            raise FrameError("the file must hold one coefficient for each column")
        values = np.frombuffer(got.payload, "<i8") / (1 << 20) if first else np.frombuffer(got.payload, "<f8")
        if not (np.abs(values) <= _LARGEST).all():
            raise FrameError("the file contains a coefficient outside the range of a training")
        model.columns_, model.coef_, model.intercept_ = columns, values[:-1].astype(np.float64), float(values[-1])
        return model


def _calibration(given: list[str]) -> Calibration | None:
    """Read a map from scores to probabilities from a file's header: two reals as hexadecimal text, or nothing."""
    if not given:
        return None
    try:
        intercept, slope = (float.fromhex(text) for text in given)
    except (ValueError, OverflowError):
        raise FrameError("frame field 'calibration' must hold two numbers") from None
    if not (math.isfinite(intercept) and 0.0 < slope < math.inf):
        raise FrameError("frame field 'calibration' must hold a finite intercept and a positive slope")
    return Calibration(intercept, slope)


def _alone(table: NDArray[np.float64], labels: NDArray[np.int64], job: LogisticJob) -> NDArray[np.float64]:
    """Return scores of the rows held back, by least squares on the guest's columns alone, in the same form."""
    rows = job.whitening.rows(table[job.used])
    weights = np.linalg.lstsq(np.column_stack([rows, np.ones(len(rows))]), labels[job.used] - 0.5, rcond=None)[0]
    result: NDArray[np.float64] = job.whitening.rows(table[job.held]) @ weights[:-1]
    return result


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
