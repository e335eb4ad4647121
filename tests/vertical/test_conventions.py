"""The estimators' arguments mean the same everywhere, and hold scikit-learn's conventions; each is found by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import threading
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import bluetusk as bt
from bluetusk import _parallel
from bluetusk.vertical import (
    GradientBoosting,
    LogisticRegression,
    blacklist_query,
    blacklist_serve,
    intersect,
    local_links,
)
from bluetusk.vertical.base import Estimator

from .conftest import Both

NOISE = 1e-5  # of the random rounding of shares; another order of the rows moves a coefficient by more

ARGUMENTS = ("role", "min_rows", "key_size", "random_state", "threads")
"""What estimators share, in its order; arguments of a model alone come before these, but where calls by place exist."""
CALLS = ("role", "link", "links", "keeper", "progress", "threads")
"""The same of functions and methods that talk to a peer; `columns`, `limit` and others stand before `keeper`."""
OTHERWISE = {
    "seed": "random_state",
    "rng": "random_state",
    "n_jobs": "threads",
    "n_threads": "threads",
    "num_threads": "threads",
    "party": "role",
    "bits": "key_size",
    "key_bits": "key_size",
    "least_rows": "min_rows",
    "min_bin_rows": "min_rows",
    "channel": "link",
    "peers": "links",
}
"""Names that somebody might choose for one of these."""

X = np.arange(160.0).reshape(80, 2) % 17
Y = np.arange(80) % 2


def estimators() -> list[type[Estimator]]:
    """Import every module of the two-party models, and return the classes that derive from their base."""
    for module in pkgutil.walk_packages(bt.vertical.__path__, "bluetusk.vertical."):
        importlib.import_module(module.name)
    found, seen = [Estimator], []
    while found:
        kinds = found.pop().__subclasses__()
        found += kinds
        seen += [kind for kind in kinds if kind.__module__.startswith("bluetusk.")]
    return sorted(seen, key=lambda kind: kind.__name__)


def calls() -> dict[str, object]:
    """Return the public functions, and methods of estimators, that take a link or threads."""
    named = {name: getattr(bt.vertical, name) for name in bt.vertical.__all__}
    named |= {f"{k.__name__}.{n}": m for k in estimators() for n, m in vars(k).items() if not n.startswith("_")}
    functions = {name: thing for name, thing in named.items() if inspect.isfunction(thing)}
    return {n: f for n, f in functions.items() if {*CALLS[1:3], "threads"} & set(inspect.signature(f).parameters)}


ESTIMATORS = estimators()
FUNCTIONS = calls()

WRONG = [
    ("role", "bank", ValueError, r"""role must be "guest" \(who has the labels\) or "host", not 'bank'"""),
    ("role", None, ValueError, r"""role must be "guest" \(who has the labels\) or "host", not None"""),
    ("min_rows", 0, ValueError, "min_rows must be at least 1, not 0"),
    ("min_rows", 2.5, TypeError, "min_rows must be an int, not float"),
    ("key_size", 1024, bt.InvalidKey, "key_size is 1024: too short to be secure; use a key of 2048, 3072 or 4096 bits"),
    ("key_size", 2500, bt.InvalidKey, "key_size is 2500: not a size in use; use a key of 2048, 3072 or 4096 bits"),
    ("key_size", "2048", TypeError, "key_size must be an int, not str"),
    ("random_state", -1, ValueError, "random_state must be 0 to 9223372036854775807, not -1"),
    ("random_state", 1.5, TypeError, "random_state must be an int, not float"),
    (
        "random_state",
        b"short",
        ValueError,
        "random_state must be a whole number or 32 bytes, not 5 bytes: hash them to 32",
    ),
    ("threads", 0, ValueError, "threads must be 1 to 1024, not 0"),
    ("threads", True, TypeError, "threads must be an int, not bool"),
    ("threads", 2.0, TypeError, "threads must be an int, not float"),
]


def in_order(names: list[str], order: tuple[str, ...]) -> bool:
    shared = [name for name in names if name in order]
    return shared == [name for name in order if name in shared]


def check_names(kind: type[Estimator]) -> None:
    """Each argument has a default, goes by the name that the others use, and stands in their order."""
    given = inspect.signature(kind).parameters
    former = {name for name in OTHERWISE if f"The former name of `{OTHERWISE[name]}`" in (kind.__doc__ or "")}
    for name, each in given.items():
        assert each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD), f"*{name} is not in get_params()"
        assert each.default is not each.empty, f"{name} has no default"
        assert name not in OTHERWISE or name in former, f"{name} is called {OTHERWISE.get(name)} elsewhere"
    assert {"role", "key_size", "threads"} <= set(given), "every estimator encrypts"
    assert given["role"].default == "guest"
    assert in_order(list(given), ARGUMENTS), list(given)
    alone = [name for name, each in given.items() if each.kind == each.KEYWORD_ONLY and name not in former]
    assert [name in ARGUMENTS for name in alone] == sorted(name in ARGUMENTS for name in alone), alone


def check_storing(kind: type[Estimator]) -> None:
    """The constructor stores what it is given, whatever it is; copies have it; unknown names are refused."""
    given = inspect.signature(kind).parameters
    assert kind().get_params() == {name: each.default for name, each in given.items()}
    values = {name: object() for name in given}
    made = kind(**values)
    assert made.get_params() == values
    assert made.set_params(key_size=2048).get_params()["key_size"] == 2048
    copied = clone(kind("host", key_size=2048))
    assert copied.get_params() == kind("host", key_size=2048).get_params()
    with pytest.raises(ValueError, match="has no parameter 'colour'"):
        made.set_params(colour=1)


def check_wrong(kind: type[Estimator]) -> None:
    """What is wrong ends fit() before anything is sent, with one error and one text for all."""
    for name, value, error, text in WRONG:
        if name in inspect.signature(kind).parameters:
            here = local_links(seconds=0.1)[0]
            with pytest.raises(error) as refused:
                kind(**{name: value}).fit(X, Y, link=here)
            assert re.fullmatch(text, str(refused.value)), str(refused.value)
            assert refused.type is error


def named(kind: type[Estimator], rows: int) -> dict[str, range]:
    """Ids of rows, for a host whose model scores some of them in fit()."""
    return {"ids": range(rows)} if "ids" in inspect.signature(kind.fit).parameters else {}


def check_fitted(kind: type[Estimator]) -> None:
    """Attributes that end in an underscore come with fit(), and stay out of a clone."""
    guest, host = (kind(role, key_size=2048) for role in ("guest", "host"))
    here, there = local_links(seconds=30)
    for each in (guest, host):
        with pytest.raises(NotFittedError):
            check_is_fitted(each)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        results = Both()(
            lambda: guest.fit(np.tile(X, (3, 1)), np.tile(Y, 3), link=here),
            lambda: host.fit(np.tile(X, (3, 1)), link=there, **named(kind, 3 * len(X))),
        )
    assert results == [guest, host], "fit returns its estimator"
    for each in (guest, host):
        check_is_fitted(each)
        assert each.get_params() == kind(each.role, key_size=2048).get_params(), "fit leaves the arguments alone"
        with pytest.raises(NotFittedError):
            check_is_fitted(clone(each))


CHECKS = (check_names, check_storing, check_wrong, check_fitted)


def test_the_estimators_are_found() -> None:
    public = {name for name in bt.vertical.__all__ if hasattr(getattr(bt.vertical, name), "get_params")}
    assert {kind.__name__ for kind in ESTIMATORS} == public
    assert len(public) >= 3


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_estimator_holds_the_conventions(kind, check):
    check(kind)


class Planted(Estimator):
    """An estimator that holds them all but for what a case changes."""

    def __init__(self, role="guest", *, depth=3, min_rows=5, key_size=3072, random_state=None, threads=None):
        self.role, self.depth, self.min_rows = role, depth, min_rows
        self.key_size, self.random_state, self.threads = key_size, random_state, threads

    def fit(self, X, y=None, *, link):
        self._shared()
        self.columns_ = list(range(len(X)))
        return self


class OtherOrder(Planted):
    def __init__(self, role="guest", *, depth=3, threads=None, min_rows=5, key_size=3072, random_state=None):
        super().__init__(role, depth=depth, min_rows=min_rows, key_size=key_size, random_state=random_state)
        self.threads = threads


class OwnLast(Planted):
    def __init__(self, role="guest", *, key_size=3072, threads=None, depth=3):
        super().__init__(role, depth=depth, key_size=key_size, threads=threads)


class OtherName(Planted):
    def __init__(self, role="guest", *, seed=None, key_size=3072, threads=None):
        super().__init__(role, key_size=key_size, random_state=seed, threads=threads)
        self.seed = seed


class NoDefault(Planted):
    def __init__(self, role, *, key_size=3072, threads=None):
        super().__init__(role, key_size=key_size, threads=threads)


class Changing(Planted):
    def __init__(self, role="guest", *, key_size=3072, threads=None):
        super().__init__(role, key_size=key_size, threads=threads or 1)


class Forgetting(Planted):
    def __init__(self, role="guest", *, key_size=3072, threads=None, **more):
        super().__init__(role, key_size=key_size, threads=threads, **more)


class Trusting(Planted):
    def fit(self, X, y=None, *, link):
        return self


class OtherText(Planted):
    def fit(self, X, y=None, *, link):
        if self.min_rows == 0:
            raise ValueError("at least one row")
        return super().fit(X, y, link=link)


class NeverFitted(Planted):
    def fit(self, X, y=None, *, link):
        self._shared()
        return self


class FittedAtOnce(Planted):
    def __init__(self, role="guest", *, key_size=3072, threads=None):
        super().__init__(role, key_size=key_size, threads=threads)
        self.columns_ = None


class Overwriting(Planted):
    def fit(self, X, y=None, *, link):
        self.threads = 1
        return super().fit(X, y, link=link)


def test_the_checks_take_a_good_estimator():
    for check in CHECKS:
        check(Planted)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (OtherOrder, check_names),
        (OwnLast, check_names),
        (OtherName, check_names),
        (NoDefault, check_names),
        (Forgetting, check_names),
        (Changing, check_storing),
        (Trusting, check_wrong),
        (OtherText, check_wrong),
        (NeverFitted, check_fitted),
        (FittedAtOnce, check_fitted),
        (Overwriting, check_fitted),
    ],
)
def test_the_checks_find_a_bad_estimator(kind, check):
    with pytest.raises((AssertionError, pytest.fail.Exception, NotFittedError)):
        check(kind)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_share_their_arguments_and_order(name):
    given = inspect.signature(FUNCTIONS[name]).parameters
    assert in_order(list(given), CALLS), list(given)
    for each in CALLS:
        assert each not in given or given[each].kind == inspect.Parameter.KEYWORD_ONLY, each
    assert not set(OTHERWISE) & set(given)
    own = [k for k, each in given.items() if each.kind == inspect.Parameter.KEYWORD_ONLY and k not in CALLS]
    names = list(given)
    assert all(names.index(k) < names.index("keeper") for k in own if "keeper" in names), names


def test_functions_refuse_what_estimators_refuse():
    half = {
        "intersect": lambda link, **more: intersect(["a"], **{"role": "guest", "link": link} | more),
        "blacklist_query": lambda link, **more: blacklist_query(["a"], **{"link": link} | more),
        "blacklist_serve": lambda link, **more: blacklist_serve(["a"], **{"link": link, "limit": 3} | more),
    }
    assert set(half) == {name for name in FUNCTIONS if "." not in name}
    for name, call in half.items():
        for argument, value, error, text in WRONG:
            if argument in inspect.signature(FUNCTIONS[name]).parameters:
                with pytest.raises(error) as refused:
                    call(local_links()[0], **{argument: value})
                assert re.fullmatch(text, str(refused.value)), name


@pytest.mark.parametrize(("link", "error", "text"), [(None, ValueError, "link is missing"), (7, TypeError, "not int")])
@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")
def test_a_link_that_is_none_is_refused_alike(link, error, text):
    y = {"guest": Y, "host": None}
    tries = [lambda k=k, r=r: k(r).fit(X, y[r], link=link) for k in ESTIMATORS for r in y]
    tries = tries[: -2 if link is None else None] + tries[-1:]  # WoEBinning: a guest may be alone
    tries += [
        lambda: intersect(["a"], role="guest", link=link),
        lambda: blacklist_query(["a"], link=link),
        lambda: blacklist_serve(["a"], link=link, limit=1),
    ]
    for call in tries:
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_threads_are_those_of_every_batch(kind, monkeypatch):
    """Each party's number holds for all that it computes, and for nothing of the other's in the same process."""
    monkeypatch.setattr(_parallel, "_num_threads", 6)
    used: dict[str, set[int]] = {}
    resolve = _parallel.resolve_threads

    def seen(threads):
        count = resolve(threads)
        if count > 1:  # what is too short for two
            used.setdefault(threading.current_thread().name, set()).add(count)
        return count

    monkeypatch.setattr(_parallel, "resolve_threads", seen)
    here, there = local_links(seconds=30)
    x, y = np.tile(X, (3, 1)), np.tile(Y, 3)

    def run(role, threads, *rows, link):
        threading.current_thread().name = role
        ids = named(kind, len(x)) if role == "host" else {}
        kind(role, key_size=2048, threads=threads).fit(*rows, link=link, **ids)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        Both()(lambda: run("guest", 5, x, y, link=here), lambda: run("host", 4, x, link=there))
    assert used == {"guest": {5}, "host": {4}}


@pytest.mark.nightly
def test_the_former_name_of_random_state_works_and_warns(together_logistic):
    number = together_logistic(random_state=7)
    assert number == pytest.approx(together_logistic(random_state=7), abs=NOISE)
    assert number != pytest.approx(together_logistic(random_state=8), abs=10 * NOISE)
    with pytest.warns(FutureWarning, match="random_state") as warned:
        old = together_logistic(seed=bytes(range(32)))
    assert warned[0].filename == __file__
    assert old == pytest.approx(together_logistic(random_state=bytes(range(32))), abs=NOISE)


def test_a_former_name_and_its_new_one_do_not_go_together():
    with pytest.raises(ValueError, match="former name"):
        LogisticRegression("guest", random_state=1, seed=bytes(32)).fit(X, Y, link=local_links()[0])


@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")  # of labels that depend on nothing
def test_random_state_of_bytes_draws_the_same_samples_again():
    def trained(random_state):
        here, there = local_links(seconds=30)
        made = [
            GradientBoosting(role, n_estimators=2, max_depth=1, subsample=0.5, key_size=2048, random_state=random_state)
            for role in ("guest", "host")
        ]
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(200, 2)), np.arange(200) % 2
        Both()(lambda: made[0].fit(x[:, :1], y, link=here), lambda: made[1].fit(x[:, 1:], link=there))
        return made[0].party_importances_

    assert trained(bytes(32)) == trained(bytes(32)) != trained(bytes(31) + b"\1")
    assert trained(7) == trained(np.int64(7))


@pytest.fixture
def together_logistic():
    """Train both halves for two epochs of batches in threads; the guest's coefficients."""

    def run(**given):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(80, 2)), np.arange(80) % 2
        here, there = local_links("guest", "host")
        opened = {"key_size": 2048, "reveal": "coefficients"}
        host = LogisticRegression("host", **opened)
        thread = threading.Thread(target=host.fit, args=(x[:, 1:],), kwargs={"link": there})
        thread.start()
        guest = LogisticRegression("guest", epochs=2, batch_size=20, calibrate=False, tol=0.0, **opened, **given)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            guest.fit(x[:, :1], y, link=here)
        thread.join(60)
        return guest.coef_

    return run


@pytest.mark.parametrize("base", [bt.vertical.LogisticRegression, bt.vertical.WoEBinning])
def test_a_subclass_may_have_a_constructor_with_other_arguments(base):
    class Guest(base):
        def __init__(self):
            super().__init__("guest", key_size=2048)

    class Host(base):
        def __init__(self):
            super().__init__("host", key_size=2048)

    x = np.arange(200.0).reshape(-1, 1) % 17
    y = (np.arange(200) % 5 == 0).astype(int)
    here, there = local_links(seconds=30)
    errors = []

    def host():
        try:
            Host().fit(x, link=there, **named(base, len(x)))
        except BaseException as error:
            errors.append(error)

    side = threading.Thread(target=host)
    side.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Guest().fit(x + 1, y, link=here)
    side.join(60)
    assert errors == []
