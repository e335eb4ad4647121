"""The estimators' arguments mean the same everywhere, and hold scikit-learn's conventions."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from bluetusk.vertical import GradientBoosting, LogisticRegression, WoEBinning, local_links

NOISE = 1e-5  # of the random rounding of shares; another order of the rows moves a coefficient by more

ESTIMATORS = (GradientBoosting, LogisticRegression, WoEBinning)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_parameter_is_in_get_params_and_survives_a_clone(kind):
    names = list(inspect.signature(kind).parameters)
    made = kind("host")
    assert list(made.get_params()) == names
    values = {"key_size": 2048, "role": "guest"}
    copied = clone(made.set_params(**values))
    assert copied.get_params() == made.get_params()
    assert copied is not made


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_estimator_is_fitted_after_fit_only(kind):
    made = kind("guest", key_size=2048)
    with pytest.raises(NotFittedError):
        check_is_fitted(made)


def test_what_estimators_share_stands_in_one_order():
    """role, what is its own, key_size, random_state, threads: as far as each has them."""
    shared = ("role", "key_size", "random_state", "threads")
    for kind in ESTIMATORS:
        names = [name for name in inspect.signature(kind).parameters if name in shared]
        assert names == [name for name in shared if name in names], kind


def test_the_former_name_of_random_state_works_and_warns(together_logistic):
    number = together_logistic(random_state=7)
    assert number == pytest.approx(together_logistic(random_state=7), abs=NOISE)
    assert number != pytest.approx(together_logistic(random_state=8), abs=10 * NOISE)
    with pytest.warns(FutureWarning, match="random_state"):
        old = together_logistic(seed=bytes(range(32)))
    assert old == pytest.approx(together_logistic(random_state=bytes(range(32))), abs=NOISE)


def test_random_states_that_are_none():
    x = np.arange(80.0).reshape(40, 2) % 7
    y = np.arange(40) % 2
    for wrong, error in ((b"short", ValueError), (-1, ValueError), (1.5, TypeError), ("7", ValueError)):
        with pytest.raises(error, match="random_state"):
            LogisticRegression("guest", random_state=wrong).fit(x, y, link=local_links()[0])
    with pytest.raises(ValueError, match="former name"):
        LogisticRegression("guest", random_state=1, seed=bytes(32)).fit(x, y, link=local_links()[0])


@pytest.fixture
def together_logistic():
    """Train both halves for two epochs of batches in threads; the guest's coefficients."""
    import threading

    def run(**given):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(80, 2)), np.arange(80) % 2
        here, there = local_links("guest", "host")
        host = LogisticRegression("host", key_size=2048)
        thread = threading.Thread(target=host.fit, args=(x[:, 1:],), kwargs={"link": there})
        thread.start()
        guest = LogisticRegression("guest", key_size=2048, epochs=2, batch_size=20, calibrate=False, tol=0.0, **given)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            guest.fit(x[:, :1], y, link=here)
        thread.join(60)
        return guest.coef_

    return run
