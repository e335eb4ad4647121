"""Logistic regression of two parties: everything stays shared while it is trained."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._numeric import as_int
from ..errors import FrameError
from ..wire.frame import Kind, check_fields, encode, field
from ._base import Estimator, check_role
from ._columns import as_labels
from ._job import Keeper, Progress, drive
from ._link import Link
from ._logistic_job import CLASS_BITS, COEF_BITS, LARGEST_BITS, MOST_COLUMNS, ROW_BITS, SIGMOIDS, Config, LogisticJob
from ._logistic_score import ScoreJob, probabilities
from ._matrix import real_table
from ._products import ENTRY_BITS
from ._save import load_frame, save_frame

__all__ = ["LogisticRegression"]

_FIELDS = ("columns", "epochs", "losses", "model", "role", "sigmoid")
_LIMIT = 1 << (ENTRY_BITS - ROW_BITS)


class LogisticRegression(Estimator):
    """Logistic regression on the columns of a guest, who has the labels, and of a host.

    Both call :meth:`fit` at the same time, each with its own rows, in one order (:func:`intersect` aligns them). What
    the guest's constructor says about the training holds, the host is told; the host's says its role and key.

    Parameters
    ----------
    role : {"guest", "host"}
        The guest has the labels.
    epochs : int
        How often all rows are used, 1 to 1000.
    batch_size : int
        Most rows of a step, 1 to 65536.
    learning_rate : float
        2^-20 to 64. Steps grow where it is more than about ``16 / (d v)`` for d columns of variance v (linear sigmoid).
    l2 : float
        Weight of the ridge penalty, 0 to 1; the intercept is free.
    sigmoid : {"linear", "cubic"}
        ``0.5 + 0.125 z`` (PPCA 7-2023 5.2.3.1), or ``0.5 + 0.197 z - 0.004 z^3``, which takes some three times as long.
    class_weight : None, "balanced" or dict of label to float
        Factors of the labels 0 and 1, below 256; "balanced": inversely to their number. The host learns that there
        are factors, not which.
    fit_intercept : bool
        Whether the guest gets an intercept.
    tol : float, optional
        Ends the training after an epoch whose loss is not smaller by that much than the loss of the one before. The
        loss is the mean squared residual, which for the linear sigmoid is what it minimises. Both parties then see it.
    key_size : {3072, 2048, 4096}
        Bits of this party's key, which lives as long as a training.
    seed : bytes, optional
        32 bytes from which both parties derive the order of rows; fresh by default. The host is told.

    Attributes
    ----------
    coef_ : ndarray of float64, shape (d,)
        This party's own coefficients; the other's are not known here.
    intercept_ : float
        The guest's; 0 at the host.
    columns_ : list of str
        Names of this party's columns.
    n_iter_ : int
        Epochs taken.
    loss_ : list of float
        The loss of each epoch, if `tol` was given.
    sigmoid_ : str
        As the guest said.
    model_ : bytes
        Names the training: 32 bytes, the same at both parties. Halves of different trainings do not predict together.

    Notes
    -----
    **What each side learns.** Weights, scores, residuals, gradients and the sums on the way to them are shared modulo
    2^96 for the whole training: each party sees uniform numbers, and ciphertexts under the other's key. What it
    decrypts is masked by 104 bits more than the value has, and re-randomised so that the encryptor cannot solve
    for what was computed. At the end each party learns its own coefficients; with `tol` both learn the loss of
    each epoch, summed over the rows, to 16 binary digits; the host learns the parameters of the training, both
    learn the number of rows and of the other's columns. At :meth:`predict_proba` the guest learns the joint score
    of each row, and so, by taking its own part off, the host's part of it: many of them tell about the host's
    columns, which the host's policy must allow. The parties are assumed to follow the protocol.

    The form is that of CAESAR [1]_ and of FATE's SSHE-LR; packing and fixed point are in ``docs/vertical/logistic.md``.
    Probabilities are those of the sigmoid that was trained with, clipped to 0 .. 1.

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
    >>> guest = LogisticRegression("guest", epochs=2, batch_size=32, learning_rate=4.0, key_size=2048)
    >>> host = LogisticRegression("host", key_size=2048)
    >>> other = threading.Thread(target=host.fit, args=(X[:, 1:],), kwargs={"link": links[1]})
    >>> other.start()
    >>> guest = guest.fit(X[:, :1], y, link=links[0])
    >>> other.join()
    >>> bool(guest.coef_[0] > 0.5 and host.coef_[0] > 0.5)
    True
    """

    def __init__(
        self,
        role: str = "guest",
        *,
        epochs: int = 3,
        batch_size: int = 512,
        learning_rate: float = 1.0,
        l2: float = 0.001,
        sigmoid: str = "linear",
        class_weight: str | Mapping[int, float] | None = None,
        fit_intercept: bool = True,
        tol: float | None = None,
        key_size: int = 3072,
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
        self.tol = tol
        self.key_size = key_size
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        link: Link,
        columns: Sequence[str] | None = None,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> LogisticRegression:
        """Train together with the other party.

        Parameters
        ----------
        X : array_like or DataFrame, shape (n, d)
            This party's rows: numbers below 64 in size, of a like scale (WoE, or standardised).
        y : array_like, shape (n,)
            The guest's labels, 0 or 1; the host gives none.
        link : Link
            To the other party.
        columns : sequence of str, optional
            Names; by default those of a DataFrame, or x0, x1, ...
        keeper : Keeper, optional
            Keeps the state after each batch; see :class:`~bluetusk.vertical._job.Keeper`.
        progress : callable, optional
            Called as ``progress("logistic_regression", steps taken, steps)``.

        Returns
        -------
        LogisticRegression
            This one.

        Raises
        ------
        ValueError, TypeError
            If the rows, the labels or a parameter are not what they must be.
        ProtocolAbort, FrameError, InvalidCiphertext, DecryptionError
            If the other party sends anything else than is due, or has another number of rows.
        EncodingOverflow
            If the training diverged.
        PolicyRefused
            By the link's observer.

        Examples
        --------
        >>> LogisticRegression("guest").fit([[1.0], [float("nan")]], [0, 1], link=None)
        Traceback (most recent call last):
            ...
        ValueError: X[1, 0] is NaN or infinite: impute it, or bin the columns first (WoEBinning)
        """
        guest = check_role(self.role) == "guest"
        names, table = real_table(X, columns, MOST_COLUMNS)
        matrix = _fixed(table)
        if not guest:
            if y is not None:
                raise ValueError("y: the host has no labels; the guest gives them")
            job = LogisticJob("host", matrix, names, self.key_size)
        else:
            if y is None:
                raise ValueError("y: the guest gives the labels")
            labels, config = as_labels(y, len(matrix)), self._config()
            if config.intercept:
                matrix = np.column_stack([matrix, np.full(len(matrix), 1 << ROW_BITS, dtype=np.int64)])
            weights = self._class_weights(labels)
            job = LogisticJob(
                "guest",
                matrix,
                names,
                self.key_size,
                config=config,
                labels=labels,
                class_weights=weights,
                seed=_seed(self.seed),
            )
        drive(job, [link], keeper=keeper, progress=progress)
        self._take(job, names)
        return self

    def _take(self, job: LogisticJob, names: list[str]) -> None:
        assert job.config is not None
        coefficients = job.coefficients
        cut = len(names)
        self.columns_ = names
        self.coef_ = coefficients[:cut]
        self.intercept_ = float(coefficients[cut]) if len(coefficients) > cut else 0.0
        self.sigmoid_ = job.config.sigmoid
        self.n_iter_ = len(job.losses) if job.stopped else job.config.epochs
        self.loss_ = job.reported
        self.model_ = job.model
        if job.key is not None:
            job.key.close()

    def _config(self) -> Config:
        if self.sigmoid not in SIGMOIDS:
            raise ValueError(f'sigmoid must be "linear" or "cubic", not {self.sigmoid!r}')
        told = {
            "epochs": as_int(self.epochs, "epochs", 1),
            "batch_size": as_int(self.batch_size, "batch_size", 1),
            "learning_rate": float(self.learning_rate).hex(),
            "l2": float(self.l2).hex(),
            "sigmoid": self.sigmoid,
            "weighted": self.class_weight is not None,
            "intercept": bool(self.fit_intercept),
            "tol": "" if self.tol is None else float(self.tol).hex(),
        }
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
        factors = [round(given[k] * (1 << CLASS_BITS)) if math.isfinite(given[k]) else -1 for k in (0, 1)]
        if not all(0 <= f < 1 << (2 * CLASS_BITS) for f in factors):
            raise ValueError(f"class_weight must be 0 to 256, not {given}: scale the weights, or train on fewer rows")
        return factors[0], factors[1]

    def _fitted(self) -> None:
        if not hasattr(self, "coef_"):
            raise ValueError("this model is not fitted: call fit() with the other party, or load() it")

    def decision_function(
        self,
        X: ArrayLike,
        *,
        link: Link,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64] | None:
        """Return the joint scores at the guest; the host takes part and gets nothing.

        Parameters
        ----------
        X : array_like or DataFrame, shape (n, d)
            This party's rows, in the order of the other's.
        link : Link
            To the other party.
        keeper, progress : optional
            As in :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (n,), or None
            Scores z, exact to 2^-20 for the coefficients and rows in fixed point; None at the host.

        Raises
        ------
        ValueError
            If the model is not fitted, or has another number of columns.
        ProtocolAbort, FrameError, PolicyRefused
            As :meth:`fit`.

        Examples
        --------
        >>> LogisticRegression("host").decision_function([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        _, table = real_table(X, None, MOST_COLUMNS)
        if table.shape[1] != len(self.columns_):
            raise ValueError(f"X has {table.shape[1]} columns, the model {len(self.columns_)}: {self.columns_!r:.200}")
        own = _fixed(table) @ np.rint(self.coef_ * (1 << COEF_BITS)).astype(np.int64)
        own += round(self.intercept_ * (1 << (COEF_BITS + ROW_BITS)))
        job = ScoreJob(self.role, self.model_, own, self.columns_)
        drive(job, [link], keeper=keeper, progress=progress)
        return job.scores

    def predict_proba(
        self,
        X: ArrayLike,
        *,
        link: Link,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64] | None:
        """Return the probabilities of both labels at the guest; the host takes part and gets nothing.

        Parameters
        ----------
        X, link, keeper, progress
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of float64, shape (n, 2), or None
            Of the labels 0 and 1; None at the host.

        Raises
        ------
        ValueError, ProtocolAbort, FrameError, PolicyRefused
            As :meth:`decision_function`.

        Examples
        --------
        >>> LogisticRegression("host").predict_proba([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        scores = self.decision_function(X, link=link, keeper=keeper, progress=progress)
        return None if scores is None else probabilities(scores, self.sigmoid_)

    def predict(
        self,
        X: ArrayLike,
        *,
        link: Link,
        keeper: Keeper | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.int64] | None:
        """Return the likelier label of each row at the guest; the host takes part and gets nothing.

        Parameters
        ----------
        X, link, keeper, progress
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of int64, shape (n,), or None
            0 or 1; None at the host.

        Raises
        ------
        ValueError, ProtocolAbort, FrameError, PolicyRefused
            As :meth:`decision_function`.

        Examples
        --------
        >>> LogisticRegression("host").predict([[1.0]], link=None)
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        scores = self.decision_function(X, link=link, keeper=keeper, progress=progress)
        return None if scores is None else (scores > 0).astype(np.int64)

    def save(self, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> None:
        """Write this half of the model to a file of mode 0600, whole or not at all.

        Parameters
        ----------
        path : path-like
            Where.
        passphrase : str or bytes, optional
            Encrypts the file (scrypt, AES-256-GCM).

        Raises
        ------
        ValueError
            If the model is not fitted.
        OSError
            As the operating system says.

        Examples
        --------
        >>> LogisticRegression("host").save("model")
        Traceback (most recent call last):
            ...
        ValueError: this model is not fitted: call fit() with the other party, or load() it
        """
        self._fitted()
        header = {
            "role": self.role,
            "columns": self.columns_,
            "sigmoid": self.sigmoid_,
            "model": self.model_,
            "epochs": self.n_iter_,
            "losses": [round(v * (1 << 16)) for v in self.loss_],
        }
        values = np.append(self.coef_, self.intercept_) * (1 << COEF_BITS)
        save_frame(path, encode(Kind.LOGISTIC_REGRESSION, header, np.rint(values).astype("<i8").tobytes()), passphrase)

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | bytes | None = None) -> LogisticRegression:
        """Read a half that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            Where.
        passphrase : str or bytes, optional
            As it was saved.

        Returns
        -------
        LogisticRegression
            Ready to predict; the parameters of its training are not kept but for role and sigmoid.

        Raises
        ------
        FrameError
            If the file is anything else, or is damaged, or the passphrase is wrong.
        OSError
            As the operating system says.

        Examples
        --------
        >>> LogisticRegression.load("/dev/null")
        Traceback (most recent call last):
            ...
        bluetusk.errors.FrameError: /dev/null is no regular file of at most 1 GiB
        """
        got = load_frame(path, Kind.LOGISTIC_REGRESSION, passphrase)
        head = got.header
        check_fields(head, _FIELDS)
        columns = field(head, "columns", list, low=1, high=MOST_COLUMNS, items=str)
        model = cls(field(head, "role", str, choices=("guest", "host")))
        model.sigmoid = model.sigmoid_ = field(head, "sigmoid", str, choices=SIGMOIDS)
        model.model_ = field(head, "model", bytes, length=32)
        model.n_iter_ = field(head, "epochs", int, low=1, high=1000)
        model.loss_ = [v / (1 << 16) for v in field(head, "losses", list, high=1000, items=int)]
        if len(got.payload) != 8 * (len(columns) + 1):
            raise FrameError("the file's coefficients are not as many as its columns")
        values = np.frombuffer(got.payload, "<i8") / (1 << COEF_BITS)
        if np.abs(values).max() > 1 << LARGEST_BITS:
            raise FrameError("the file holds a coefficient that no training gives")
        model.columns_, model.coef_, model.intercept_ = columns, values[:-1].copy(), float(values[-1])
        return model


def _fixed(table: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return rows in fixed point."""
    largest = float(np.abs(table).max(initial=0.0))
    if largest >= _LIMIT - 2.0**-ROW_BITS:
        raise ValueError(
            f"X holds {largest:g}, rows must stay below {_LIMIT}: standardise and clip the columns, or use WoE columns"
        )
    return np.rint(table * (1 << ROW_BITS)).astype(np.int64)


def _seed(seed: bytes | None) -> bytes | None:
    if seed is not None and (not isinstance(seed, bytes) or len(seed) != 32):
        raise ValueError("seed must be 32 bytes: hash what you have, or leave it out")
    return seed
