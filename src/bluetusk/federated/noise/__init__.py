"""Noise for differential privacy: discrete Gaussian and Skellam samples, exact, and what they cost in privacy.

Samples are integers, so they can be added to encoded values, to shares and to masked vectors before anything is
summed. Their law is the stated one and not an approximation: no comparison is decided by a rounded number, no tail is
cut, and the random bits come from the operating system. Each of n clients adds its part, by ``clients=n``, where n is
the smallest number of *honest* clients that a sum is opened for: with fewer the noise falls short of what was accounted
for.

Consequences that are easily overlooked:

* **A sum of discrete Gaussians is not one.** It is very close when each client's sigma is 2 or more, and the gap, which
  grows with the dimension, is added by :func:`event` (Kairouz, Liu and Steinke 2021). A sum of Skellam variables has
  Skellam's law.
* **Rounding after clipping raises the sensitivity**: a vector of L2 norm c and dimension d has, rounded to nearest, a
  norm of up to c + sqrt(d) / 2, and rounded at random up to c + sqrt(d), or less if roundings that exceed a bound are
  drawn again (conditional rounding, same paper). ``FixedPoint(..., on_clip="l2")`` rounds first and clips the integers:
  there the norm never exceeds ``plan.limit``, and that is the sensitivity of adding or removing a client of weight 1.
  Of replacing a client it is twice that.
* **The samplers are not constant-time.** Whoever measures how long they take, or shares a cache, may learn something
  about the noise.
* A ring must hold the noisy sum: reserve nine sigma beside the bound of the values, or it wraps. That costs
  correctness, never privacy.

References
----------
C. Canonne, G. Kamath, T. Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020. P. Kairouz, Z. Liu,
T. Steinke: The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation. ICML 2021.
N. Agarwal, P. Kairouz, Z. Liu: The Skellam Mechanism for Differentially Private Federated Learning. NeurIPS 2021.
"""

from __future__ import annotations

from .mechanism import discrete_gaussian, epsilon, event, skellam

__all__ = ["discrete_gaussian", "epsilon", "event", "skellam"]
