"""Draws the noise and accounts for it; the package's docstring says what to know before use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ... import _parallel
from ..._numeric import as_int
from ..._random import Stream
from .laws import Gaussian, Law, Skellam
from .sampler import Sampler

__all__ = ["discrete_gaussian", "epsilon", "event", "skellam"]

Kind: TypeAlias = Literal["gaussian", "skellam"]
Real: TypeAlias = "int | float | Fraction"
Shape: TypeAlias = "int | Sequence[int]"

_LAWS: dict[str, Callable[[Fraction], Law]] = {"gaussian": Gaussian, "skellam": Skellam}
_LEAST, _MOST = Fraction(1, 1 << 40), Fraction(1 << 80)
_MAX_CLIENTS = 1 << 32
_US_PER_SAMPLE = 0.1
_TYPICAL_ORDER = 16
_ORDERS = (*range(2, 256), *(1 << k for k in range(8, 21)))
_MIN_SIGMA = Fraction(1, 2)


def discrete_gaussian(
    shape: Shape,
    sigma: Real | None = None,
    *,
    variance: Real | None = None,
    clients: int = 1,
    bits: int | None = None,
    threads: int | None = None,
) -> npt.NDArray[Any]:
    """Draw from the discrete Gaussian: x with probability proportional to ``exp(-x**2 / (2 s**2))``.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    sigma : int, float or Fraction, optional
        The parameter s, in units of the integers, 2^-20 to 2^40; a float stands for its exact binary value. Above 1 the
        standard deviation equals it to within 10^-6 and less; below, it is smaller.
    variance : int, float or Fraction, optional
        s squared, instead of `sigma`.
    clients : int
        Divide the variance by this, for noise that this many clients add up: the smallest number of honest ones.
    bits : int, optional
        Return the residues modulo ``2**bits``, 1 to 64, to be added to a masked vector.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray
        Of int64; with `bits`, of uint32 up to 32 bits, else of uint64.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    Blocks of equal length are drawn from a table of 63-bit probabilities, the place within one is refused with the
    exact probability (no refusal where s < 512); what these bits leave open, about one sample in a thousand, is settled
    with more bits on both sides of each comparison. Time depends on the samples. The first call for a variance makes
    its table.

    References
    ----------
    C. Canonne, G. Kamath, T. Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020. arXiv:2004.00010.

    Examples
    --------
    >>> import bluetusk as bt
    >>> x = bt.federated.noise.discrete_gaussian(100_000, sigma=30)
    >>> bool(abs(x.std() / 30 - 1) < 0.03)
    True
    >>> bt.federated.noise.discrete_gaussian((2, 3), sigma=2**20, clients=10, bits=32).dtype
    dtype('uint32')
    """
    return _draw("gaussian", shape, sigma, variance, clients, bits, threads)


def skellam(
    shape: Shape,
    sigma: Real | None = None,
    *,
    variance: Real | None = None,
    clients: int = 1,
    bits: int | None = None,
    threads: int | None = None,
) -> npt.NDArray[Any]:
    """Draw from Skellam's symmetric law: the difference of two independent Poisson variables of mean ``variance / 2``.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    sigma : int, float or Fraction, optional
        The standard deviation, in units of the integers, 2^-20 to 2^40; a float stands for its exact binary value.
    variance : int, float or Fraction, optional
        Its square, instead of `sigma`.
    clients : int
        Divide the variance by this, for noise that this many clients add up: the smallest number of honest ones. The
        sum has Skellam's law again, exactly.
    bits : int, optional
        Return the residues modulo ``2**bits``, 1 to 64, to be added to a masked vector.
    threads : int, optional
        Overrides :func:`bluetusk.set_num_threads`.

    Returns
    -------
    ndarray
        Of int64; with `bits`, of uint32 up to 32 bits, else of uint64.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    Drawn as :func:`discrete_gaussian` is, from the law of the difference itself: mass ``exp(-v) I_|x|(v)``.

    References
    ----------
    N. Agarwal, P. Kairouz, Z. Liu: The Skellam Mechanism for Differentially Private Federated Learning. NeurIPS 2021.
    arXiv:2110.04995.

    Examples
    --------
    >>> import bluetusk as bt
    >>> x = bt.federated.noise.skellam(100_000, variance=7)
    >>> bool(abs(x.var() / 7 - 1) < 0.05)
    True
    """
    return _draw("skellam", shape, sigma, variance, clients, bits, threads)


def event(
    kind: Kind,
    sigma: Real | None = None,
    *,
    variance: Real | None = None,
    sensitivity: Real,
    l1_sensitivity: Real | None = None,
    dimension: int | None = None,
    clients: int = 1,
) -> Any:
    """Describe one release of a noisy sum to an accountant of ``dp_accounting``.

    Parameters
    ----------
    kind : {"gaussian", "skellam"}
        Which noise was added.
    sigma, variance
        As given to the sampler, `clients` with it: the noise of the whole sum.
    sensitivity : int, float or Fraction
        Largest L2 distance between the sums of neighbouring data sets, in units of the integers: ``plan.limit`` times
        the weight of a client, where ``on_clip="l2"`` and a neighbour lacks one client.
    l1_sensitivity : int, float or Fraction, optional
        The same in the L1 norm. By default what follows for vectors of integers: the smaller of ``sensitivity**2`` and
        ``sensitivity * sqrt(dimension)``.
    dimension : int, optional
        Length of the vector. Needed for Gaussian noise of several clients.
    clients : int
        The least number of clients whose noise is in the sum.

    Returns
    -------
    dp_accounting.ZCDpEvent
        A line that bounds the Renyi divergence of every order above 1, for `RdpAccountant`. It is not a
        `GaussianDpEvent`: accountants treat that as a continuous Gaussian and would claim, by privacy loss
        distributions or with sampling, bounds that are not proven for these laws.

    Raises
    ------
    ModuleNotFoundError
        If the extra ``dp`` is not installed.
    TypeError, ValueError
        If an argument is of the wrong type, out of range or missing; if a client's Gaussian noise is below 1/2, where
        the sum of several is too far from a Gaussian.

    Notes
    -----
    Gaussian, one client: ``rho = sensitivity**2 / (2 sigma**2)`` (Canonne, Kamath, Steinke, theorem 4 and its
    multivariate form). Several: with
    ``tau = 10 sum_{k<clients} exp(-2 pi**2 sigma_client**2 k / (k + 1))``, the least of three bounds (Kairouz, Liu,
    Steinke, proposition 14). Skellam: the lesser of two (Agarwal, Kairouz, Liu, section 3), which is proven for whole
    orders and holds for the others once rho is added, since the divergence does not decrease with the order.

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.federated.noise.event("gaussian", sigma=40, sensitivity=10)
    ZCDpEvent(rho=0.03125, xi=0.0)
    """
    rho, xi = _curve(kind, sigma, variance, sensitivity, l1_sensitivity, dimension, clients)
    return _accounting().ZCDpEvent(rho=rho, xi=xi + rho if kind == "skellam" else xi)


def epsilon(
    kind: Kind,
    sigma: Real | None = None,
    *,
    variance: Real | None = None,
    sensitivity: Real,
    delta: float,
    rounds: int = 1,
    l1_sensitivity: Real | None = None,
    dimension: int | None = None,
    clients: int = 1,
) -> float:
    """Return the epsilon of a number of noisy sums at a given delta, by dp_accounting's Renyi accountant.

    Parameters
    ----------
    kind, sigma, variance, sensitivity, l1_sensitivity, dimension, clients
        As in :func:`event`.
    delta : float
        Above 0 and below 1.
    rounds : int
        How many sums are opened, each with fresh noise.

    Returns
    -------
    float
        Such that all rounds together are (epsilon, delta)-differentially private. No sampling of clients is assumed.

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError
        As :func:`event`.

    Examples
    --------
    >>> import bluetusk as bt
    >>> plan = bt.FixedPoint(clip=1.0, frac_bits=16, on_clip="l2")
    >>> round(bt.federated.noise.epsilon("skellam", 20 * plan.limit, sensitivity=plan.limit, rounds=68, delta=1e-6), 2)
    1.96
    """
    if isinstance(delta, bool) or not isinstance(delta, float) or not 0 < delta < 1:
        raise ValueError(f"delta must be a float above 0 and below 1, not {delta!r}")
    rounds = as_int(rounds, "rounds", 1)
    rho, xi = _curve(kind, sigma, variance, sensitivity, l1_sensitivity, dimension, clients)
    dp = _accounting()
    accountant = dp.rdp.RdpAccountant(orders=_ORDERS)  # whole orders, for which both curves are proven
    accountant.compose(dp.ZCDpEvent(rho=rho, xi=xi), rounds)
    return float(accountant.get_epsilon(delta))


def _accounting() -> Any:
    try:
        import dp_accounting
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("this needs dp_accounting: pip install 'bluetusk[dp]'", name=error.name) from None
    return dp_accounting


def _rational(value: Real, name: str) -> Fraction:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | Fraction | np.integer | np.floating):
        raise TypeError(f"{name} must be an int, a float or a Fraction, not {type(value).__name__}")
    if isinstance(value, np.integer):
        return Fraction(int(value))
    if isinstance(value, np.floating):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    return Fraction(value)


def _variance(kind: str, sigma: Real | None, variance: Real | None, clients: int) -> tuple[Fraction, int]:
    """Return the variance of one client's noise, and the number of clients."""
    if kind not in _LAWS:
        raise ValueError(f'kind must be "gaussian" or "skellam", not {kind!r}')
    if (sigma is None) == (variance is None):
        raise TypeError("give either sigma or variance")
    if sigma is not None:
        deviation = _rational(sigma, "sigma")
        if deviation <= 0:
            raise ValueError(f"sigma must be positive, not {sigma}")
        total = deviation**2
    else:
        assert variance is not None
        total = _rational(variance, "variance")
    clients = as_int(clients, "clients", 1, _MAX_CLIENTS)
    if not _LEAST <= total / clients <= _MOST:
        raise ValueError(
            f"{'variance' if sigma is None else 'sigma squared'} / clients must be 2^-40 to 2^80, "
            f"not about {_text(total / clients)}: noise is in units of the integers"
        )
    return total / clients, clients


def _text(x: Fraction) -> str:
    try:
        return f"{float(x):.3g}"
    except OverflowError:
        return "10^300"


@lru_cache(maxsize=8)
def _sampler(kind: str, variance: Fraction) -> Sampler:
    return Sampler(_LAWS[kind](variance))


def _draw(
    kind: str,
    shape: Shape,
    sigma: Real | None,
    variance: Real | None,
    clients: int,
    bits: int | None,
    threads: int | None,
) -> npt.NDArray[Any]:
    each, _ = _variance(kind, sigma, variance, clients)
    if bits is not None:
        bits = as_int(bits, "bits", 1, 64)
    dims = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    out = np.empty(tuple(as_int(n, "shape", 0) for n in dims), np.int64)
    flat = out.reshape(-1)
    sampler = _sampler(kind, each)
    # a fresh key for each slice: threads share no stream, and a forked child starts its own
    _parallel.run(
        flat.size, lambda lo, hi: sampler.fill(flat[lo:hi], Stream()), cost_us=_US_PER_SAMPLE, threads=threads
    )
    if bits is None:
        return out
    ring = out.view(np.uint64)
    if bits < 64:
        ring &= np.uint64((1 << bits) - 1)
    return ring.astype(np.uint32) if bits <= 32 else ring


def _curve(
    kind: str,
    sigma: Real | None,
    variance: Real | None,
    sensitivity: Real,
    l1_sensitivity: Real | None,
    dimension: int | None,
    clients: int,
) -> tuple[float, float]:
    """Return rho, xi: the divergence of order a is at most ``xi + rho a``, for Skellam if a is whole."""
    each, clients = _variance(kind, sigma, variance, clients)
    total = float(each * clients)
    l2 = _positive(sensitivity, "sensitivity")
    d = None if dimension is None else as_int(dimension, "dimension", 1)
    l1 = min(l2**2, l2 * math.sqrt(d)) if d is not None else l2**2
    if l1_sensitivity is not None:
        l1 = _positive(l1_sensitivity, "l1_sensitivity")
    rho = l2**2 / (2 * total)
    if kind == "skellam":
        return _least(
            (rho, 3 * l1 / (2 * total)),
            (rho + l2**2 / (2 * total**2), max(0.0, 6 * l1 - l2**2) / (4 * total**2)),
        )
    if clients == 1:
        return rho, 0.0
    if d is None:
        raise ValueError(
            "give dimension, the length of the vector: the gap of a sum of discrete Gaussians grows with it"
        )
    if each < _MIN_SIGMA**2:
        raise ValueError("sigma of one client must be at least 1/2 for a bound: raise sigma, or use kind='skellam'")
    tau = _gap(float(each), clients)
    return _least(
        (rho, tau * d),
        (rho + l1 * tau / math.sqrt(total) + tau**2 * d / 2, 0.0),
        ((math.sqrt(2 * rho) + tau * math.sqrt(d)) ** 2 / 2, 0.0),
    )


def _positive(value: Real, name: str) -> float:
    number = _rational(value, name)
    if not 0 < number <= 1 << 128:
        raise ValueError(f"{name} must be positive and at most 2^128, not {_text(number)}")
    return float(number)


def _least(*lines: tuple[float, float]) -> tuple[float, float]:
    return min(lines, key=lambda line: line[1] + line[0] * _TYPICAL_ORDER)


def _gap(each: float, clients: int) -> float:
    """Return tau of Kairouz, Liu and Steinke: 10 times the sum over k < clients of exp(-2 pi^2 each k / (k + 1))."""
    steps = min(clients - 1, 1 << 16)  # the terms fall with k, so the last one bounds all that follow
    terms = [math.exp(-2 * math.pi**2 * each * k / (k + 1)) for k in range(1, steps + 1)]
    return 10 * (math.fsum(terms) + (clients - 1 - steps) * terms[-1])
