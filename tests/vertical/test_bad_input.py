"""A wrong parameter ends the call before anything is sent or encrypted, with an error that names it."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from bluetusk._numeric import as_bool, as_real
from bluetusk.vertical import (
    GradientBoosting,
    LabelArray,
    LabelBook,
    LogisticRegression,
    WoEBinning,
    evaluation,
    intersect,
    local_links,
)
from bluetusk.vertical.base import Estimator, names_of
from bluetusk.vertical.tables.columns import as_labels

X = np.arange(240.0).reshape(120, 2) % 17
Y = (np.arange(120) % 3 == 0).astype(int)
KINDS = (LogisticRegression, WoEBinning, GradientBoosting)
FURTHER = ("role", "seed", "random_state", "threads", "key_size")
"""Parameters with tests of what all estimators share (test_conventions.py)."""

WRONG: dict[str, list[Any]] = {
    "bool": ["no", "", 1, 0, 1.0, None, [True], np.array([True, False])],
    "int": ["3", b"3", True, np.True_, 1.5, 2.0, math.nan, math.inf, -1, 1 << 70, [3], 3j],
    "float": ["a", "0.5", b"1", True, np.True_, math.nan, math.inf, -1, -1.5, 1 << 70, [0.5], 1j],
    "Collection[str]": ["woe", b"woe", 1, True, None, 1.5, {"labels"}, [1]],
}
"""By the annotation of a parameter: values of another type, and numbers that no parameter of this type takes."""
RIGHT: dict[str, list[Any]] = {
    "bool": [True, np.False_],
    "int": [8, np.int64(8), np.uint8(8)],
    "float": [0.5, np.float32(0.5), np.float64(0.5)],
    "Collection[str]": [(), [], frozenset()],
}


class Reached(Exception):
    """All parameters were accepted."""


@pytest.fixture
def nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: object, **__: object) -> None:
        raise Reached

    monkeypatch.setattr(Estimator, "_drive", reached)


def parameters() -> list[tuple[type[Estimator], str, str]]:
    """Return each parameter of each estimator, and its kind."""
    return [
        (kind, name, str(each.annotation).removesuffix(" | None"))
        for kind in KINDS
        for name, each in inspect.signature(kind).parameters.items()
        if name not in FURTHER
    ]


def fit(kind: type[Any], role: str, **given: Any) -> None:
    usual = {"key_size": 2048} | ({"min_rows": 5} if kind is WoEBinning else {})
    kind(role, **usual | given).fit(X, Y if role == "guest" else None, link=local_links()[0])


def test_each_parameter_is_of_a_kind_that_is_tried() -> None:
    others = {(name, annotation) for _, name, annotation in parameters() if annotation not in WRONG}
    assert {name for name, _ in others} == {"sigmoid", "class_weight", "reveal"}  # below


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.parametrize(("kind", "name", "annotation"), [row for row in parameters() if row[2] in WRONG])
@pytest.mark.usefixtures("nothing_is_sent")
def test_each_kind_of_parameter_is_checked(kind: type[Estimator], name: str, annotation: str, role: str) -> None:
    optional = inspect.signature(kind).parameters[name].default is None
    for value in WRONG[annotation]:
        if not (optional and value is None):
            with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
                fit(kind, role, **{name: value})
    for value in RIGHT[annotation]:
        with pytest.raises(Reached):
            fit(kind, role, **{name: value})


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"class_weight": [1, 5]}, TypeError, "a dict such as {0: 1.0, 1: 5.0}, not [1, 5]"),
        ({"class_weight": 5.0}, TypeError, "not 5.0"),
        ({"class_weight": "even"}, ValueError, "not 'even'"),
        ({"class_weight": {"0": 1.0, "1": 5.0}}, ValueError, "names '0': its labels are the numbers 0 and 1"),
        ({"class_weight": {0: 1.0, 2: 5.0}}, ValueError, "names 2"),
        ({"class_weight": {(): 1.0}}, ValueError, "names ()"),
        ({"class_weight": {0: "a"}}, TypeError, "class_weight[0] must be a number, not str"),
        ({"class_weight": {1: math.nan}}, ValueError, "class_weight[1] must be a number from 0 to 1e+12, not nan"),
        ({"class_weight": {0: 0.0, 1: 0}}, ValueError, "above 0 for one label"),
        ({"sigmoid": "relu"}, ValueError, "not 'relu'"),
        ({"sigmoid": None}, ValueError, "not None"),
        ({"sigmoid": ["linear"]}, ValueError, "not ['linear']"),
        ({"reveal": "labels"}, ValueError, "reveal names 'labels'"),
        ({"reveal": None}, TypeError, "reveal must be a collection of names"),
        ({"tol": 2.0**-17}, ValueError, "tol must be 0, to take all epochs, or at least 2^-16"),
        ({"tol": 1e-300}, ValueError, "tol must be 0"),
        ({"tol": 1.5}, ValueError, "tol must be a number from 0 to 1, not 1.5"),
        ({"l2": 1.5}, ValueError, "l2 must be a number from 0 to 1, not 1.5"),
        ({"learning_rate": 65}, ValueError, "learning_rate must be a number from 9.53674e-07 to 64"),
        ({"epochs": 1001}, ValueError, "epochs must be 1 to 1000, not 1001"),
        ({"batch_size": 65537}, ValueError, "batch_size must be 1 to 65536, not 65537"),
    ],
)
@pytest.mark.usefixtures("nothing_is_sent")
def test_parameters_of_the_regression(given: dict[str, Any], error: type[Exception], text: str, role: str) -> None:
    with pytest.raises(error) as refused:
        fit(LogisticRegression, role, **given)
    assert refused.type is error
    assert str(refused.value).startswith(next(iter(given)))
    assert text in str(refused.value)


@pytest.mark.parametrize(
    "given", [{"class_weight": {1: 5}}, {"class_weight": {0.0: 1, np.int64(1): np.float32(5)}}, {"tol": 2.0**-16}]
)
@pytest.mark.usefixtures("nothing_is_sent")
def test_what_the_regression_takes(given: dict[str, Any]) -> None:
    with pytest.raises(Reached):
        fit(LogisticRegression, "guest", **given)


@pytest.mark.parametrize("rows", [4, 5000])
def test_the_default_of_tol_is_one_that_is_allowed(rows: int) -> None:
    """8 / rows is above 1 for few rows on bins; 0.5 / rows of one large batch is below what 16 digits show."""
    for binned in (False, True):
        config = LogisticRegression(batch_size=1 << 16)._config(rows * 13, None, binned, ())
        assert 2.0**-16 <= config.tol <= 1
    assert LogisticRegression()._config(4, None, True, ()).tol == 1


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.usefixtures("nothing_is_sent")
def test_a_binning_is_this_partys_half_and_fitted(role: str) -> None:
    class Duck:
        columns_, hosts_, bins_ = ["x0"], [[]], []

        def codes(self, X: Any, columns: Any = None) -> Any:
            return X

        peer_counts = peer_values = codes

    other = WoEBinning("guest" if role == "host" else "host", min_rows=5)
    other._set([], [], b"")
    for binning, error, text in (
        (Duck(), TypeError, "binning must be a WoEBinning, not Duck"),
        ("bins", TypeError, "binning must be a WoEBinning, not str"),
        (WoEBinning, TypeError, "binning must be a WoEBinning, not type"),
        (WoEBinning(role), ValueError, "binning is not fitted"),
        (other, ValueError, f"binning is the {other.role}'s half: give the {role} its own"),
    ):
        model = LogisticRegression(role, key_size=2048)
        with pytest.raises(error, match=text):
            model.fit(X, Y if role == "guest" else None, link=local_links()[0], binning=binning)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["guest", "host"])
@pytest.mark.usefixtures("nothing_is_sent")
def test_fewer_rows_than_min_rows_are_refused_at_both(role: str) -> None:
    with pytest.raises(ValueError, match="X has 120 rows, fewer than min_rows=121: lower min_rows"):
        fit(WoEBinning, role, min_rows=121)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("nothing_is_sent")
def test_a_text_is_no_sequence_of_columns(kind: type[Any]) -> None:
    with pytest.raises(TypeError, match=r"columns must be a sequence of names, not the text 'ab': give \['ab'\]"):
        kind("host", key_size=2048, **({"min_rows": 5} if kind is WoEBinning else {})).fit(
            X, link=local_links()[0], columns="ab"
        )


@pytest.mark.parametrize("limit", ["a", math.nan, -1.0, True, None])
def test_a_limit_of_information_values_is_a_number(limit: Any) -> None:
    alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    with pytest.raises((TypeError, ValueError), match=r"^min_iv must be a (finite )?number"):
        alone.select(limit)


def test_flags_of_files_are_bools(tmp_path: Any) -> None:
    model = LogisticRegression("host")
    model.half_ = None  # type: ignore[assignment]  # fitted
    with pytest.raises(TypeError, match="sealed must be True or False, not 0"):
        model.save(tmp_path / "model", sealed=0)  # type: ignore[arg-type]


def test_numbers_and_flags() -> None:
    for value, low, high, text in (
        (0.0, 0.0, 1.0, "above 0 and at most 1, not 0"),
        (1 << 3000, 0.0, math.inf, "a finite number from 0, not one of 3001 bits"),
        (-(1 << 70), 0.0, math.inf, "not one of 71 bits"),
        (-math.inf, -math.inf, math.inf, "x must be a finite number, not -inf"),
    ):
        with pytest.raises(ValueError, match=text):
            as_real(value, "x", low, high, above="above" in text)
    assert as_real(1 << 60, "x", 0.0, math.inf) == 2.0**60
    assert as_bool(np.True_, "x") is True
    assert names_of(["woe", "woe"], "reveal", ("woe",)) == {"woe"}


TEXTS = np.array(["0", "1"] * 3)
LABELS = np.arange(6) % 2


@pytest.mark.parametrize(
    "y",
    [
        LABELS.astype(bool),
        LABELS.astype(np.int8),
        LABELS.astype(np.uint64),
        LABELS.astype(">f4"),
        np.where(LABELS == 0, -0.0, 1.0),
        np.repeat(LABELS, 2)[::2],
        LABELS[:, None],
        LABELS.astype(object),
    ],
    ids=lambda v: f"{v.dtype} {v.strides}",
)
def test_labels_of_any_type(y: Any) -> None:
    y = np.asarray(y)
    y.setflags(write=False)
    assert as_labels(y, 6).tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (TEXTS, r"y\[0\] is '0'"),
        (TEXTS.astype(object), r"y\[0\] is '0'"),
        (np.where(LABELS == 1, np.nan, 0), r"y\[1\] is nan"),
        (np.where(np.arange(6) == 4, np.inf, LABELS), r"y\[4\] is inf"),
        ([None, 1, 0, 1, 0, 1], r"y\[0\] is None"),
        (LABELS * 2, r"y\[1\] is 2"),
        (LABELS.astype(complex), r"y\[0\] is 0j"),
    ],
)
def test_labels_that_are_not_0_and_1_are_named(y: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"y must hold 0 and 1 only.*; {text}"):
        as_labels(y, 6)


@pytest.mark.parametrize(
    "scores",
    [[math.nan], [math.inf], ["0.5"], [None], [[0.5, 0.5]], 0.5, [0.5 + 1j], np.ma.array([1.0, 2.0], mask=[0, 1]), []],
)
def test_probabilities_are_of_scores(scores: Any) -> None:
    """Of two axes the regression gave those of the first column of a table that it made itself."""
    model = LogisticRegression()
    model.half_, model.calibration_, model.sigmoid_ = None, None, "linear"  # type: ignore[assignment]
    for half in (model, GradientBoosting()):
        with pytest.raises((TypeError, ValueError), match=r"^scores"):
            half.probability(scores)
        assert half.probability(np.float32([0.0])).tolist() == [0.5]


def test_part_of_an_array_of_labels_may_have_one_label_only() -> None:
    labels = LabelArray([0, 1, 1], ["a", "b", "c"], key_size=2048)
    for part in (labels[1:], labels[:1], labels[[]]):
        again = LabelArray.from_bytes(part.to_bytes())
        assert again.labels.tolist() == part.labels.tolist()
        assert again.ids == part.ids


def test_functions_name_what_is_wrong() -> None:
    alone = WoEBinning("guest", min_rows=1, max_bins=2).fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    link = local_links(seconds=0.1)[0]
    tried: list[tuple[Any, type[Exception], str]] = [
        (lambda: evaluation.scorecard("bins", [1.0]), TypeError, "binning must be a WoEBinning, not str"),  # type: ignore[arg-type]
        (lambda: evaluation.scorecard(WoEBinning(), [1.0]), ValueError, "binning is not fitted"),
        (lambda: evaluation.scorecard(alone, [1.0], columns="x0"), TypeError, "columns must be a sequence of names"),
        (lambda: evaluation.scorecard(alone, [1.0], base_odds=math.nan), ValueError, "base_odds"),
        (lambda: alone.transform([[1.0]], 7), TypeError, "columns must be a sequence of names, not int"),  # type: ignore[arg-type]
        (lambda: LabelArray([0, 1], key_size="2048"), TypeError, "key_size must be an int, not str"),  # type: ignore[arg-type]
        (lambda: LabelArray([0, 1], key_size=1.5), TypeError, "key_size must be an int, not float"),  # type: ignore[arg-type]
        (lambda: LabelBook(key=bytes(32)).rows(7), TypeError, "ids must be a sequence of ids, not one int"),  # type: ignore[arg-type]
        (lambda: intersect(["a"], role="guest", link=link, min_intersection=1 << 70), ValueError, "min_intersection"),
    ]
    for call, error, text in tried:
        with pytest.raises(error, match=text):
            call()
