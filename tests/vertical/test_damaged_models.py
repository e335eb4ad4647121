"""Each field of a saved model, replaced by values that it cannot have: a typed error, in little memory and time."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import bluetusk as bt
from bluetusk.errors import BluetuskError, FrameError
from bluetusk.vertical import GradientBoosting, LabelArray, LogisticRegression, WoEBinning, local_links
from bluetusk.vertical.boosting.estimator import _classes
from bluetusk.vertical.protocol.job import drive
from bluetusk.wire import frame

N = 120
X = np.arange(2.0 * N).reshape(N, 2) % 17
Y = (np.arange(N) % 3 == 0).astype(int)
TABLE = {"n": X[:, 0], "c": [str(i % 4) for i in range(N)]}
VALUES: list[Any] = [-1, 1 << 62, (1 << 64) - 1, 1 << 70, True, None, "", "a", b"", [], ["a"], {}, {"a": 1}, [[]], 0.5]
VALUES += [float("nan"), float("inf"), 1e308, "nan", "0x1p+9999", "9" * 5000]


def together(one: Callable[[Any], Any], other: Callable[[Any], Any]) -> None:
    here, there = local_links(seconds=60)
    thread = threading.Thread(target=other, args=(there,))
    thread.start()
    one(here)
    thread.join()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Each kind of saved model, both halves."""
    found, path = {}, tmp_path_factory.mktemp("models") / "model"
    few = {"min_samples_leaf": 5, "min_bucket_rows": 4, "max_depth": 2, "n_estimators": 2}
    bins = [WoEBinning(role, min_rows=10, categorical=["c"], key_size=2048) for role in ("guest", "host")]
    plain, binned = ([LogisticRegression(role, epochs=1, key_size=2048) for role in ("guest", "host")] for _ in "ab")
    trees = [GradientBoosting(role, key_size=2048, **few) for role in ("guest", "host")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bt.DataWarning)
        together(lambda k: bins[0].fit(TABLE, Y, link=k), lambda k: bins[1].fit(TABLE, link=k))
        together(lambda k: plain[0].fit(X, Y, link=k), lambda k: plain[1].fit(X, link=k, ids=range(len(X))))
        together(
            lambda k: binned[0].fit(X, Y, link=k, binning=bins[0]),
            lambda k: binned[1].fit(TABLE, link=k, binning=bins[1], ids=range(len(X))),
        )
        together(lambda k: trees[0].fit(X, Y, link=k), lambda k: trees[1].fit(X, link=k))
    for name, halves in {"bins": bins, "plain": plain, "binned": binned, "trees": trees}.items():
        for half in halves:
            half.save(path, **({"sealed": False} if isinstance(half, LogisticRegression) else {}))
            found[f"{name} {half.role}"] = path.read_bytes()
    found["labels"] = LabelArray([0, 1, 1], ["a", "b", "c"], key_size=2048).to_bytes()
    return found


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the place of each value in maps and lists; of lists the first two entries."""
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(min(len(value), 2)):
            yield from places(value[key], (*at, key))


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    made = copy.deepcopy(value)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = new
    return made


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Return the frame with each value replaced, in its header and in the JSON behind it, and with other payloads."""
    got = frame.decode(data)
    payload, header = bytes(got.payload), got.header
    for at in places(header):
        for value in VALUES:
            with contextlib.suppress(Exception):  # what a header cannot hold
                yield f"header {at}: {value!r:.20}", frame.encode(got.kind, changed(header, at, value), payload)
    size = header.get("about", len(payload))
    about = payload[len(payload) - size :]
    if about.startswith(b"{"):
        for at in places(json.loads(about)):
            for value in VALUES:
                with contextlib.suppress(TypeError):  # bytes
                    new = json.dumps(changed(json.loads(about), at, value)).encode()
                    told = header | ({"about": len(new)} if "about" in header else {})
                    yield f"JSON {at}: {value!r:.20}", frame.encode(got.kind, told, payload[:-size] + new)
    for cut in (0, 1, len(payload) // 2, len(payload) - 1):
        yield f"cut at {cut}", frame.encode(got.kind, header, payload[:cut])
    yield "longer", frame.encode(got.kind, header, payload + b"\0" * 8)
    yield "nested", frame.encode(got.kind, header, b"[" * 100_000)


def read(name: str, path: Any) -> Any:
    if name == "labels":
        return LabelArray.from_bytes(path.read_bytes())
    kind = {"bins": WoEBinning, "trees": GradientBoosting}.get(name.split()[0], LogisticRegression)
    return kind.load(path)  # type: ignore[attr-defined]


def use(model: Any) -> None:
    """Do with a model that was accepted what needs no peer."""
    repr(model)
    if isinstance(model, WoEBinning):
        model.select(0.1)
        model.table()
        with contextlib.suppress(ValueError):  # weights that a host does not know, columns that the table lacks
            model.transform(TABLE)
        assert all(np.isfinite(values).all() for i in range(len(model.hosts_)) for values in model.peer_values(i))
    elif isinstance(model, LogisticRegression):
        assert np.isfinite(model.probability([0.5])).all()
        assert len(model.columns_) == 2
    elif isinstance(model, LabelArray):
        model.part(slice(0, 1))
        model.to_bytes()
    else:
        assert np.isfinite(model.feature_importances_).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bluetusk.DataWarning")  # of categories that the damaged bins do not have
@pytest.mark.parametrize(
    "name",
    ["bins guest", "bins host", "plain guest", "plain host", "binned guest", "trees guest", "trees host", "labels"],
)
def test_damaged_models_are_refused_or_usable(frames: dict[str, bytes], name: str, tmp_path: Any) -> None:
    path, count = tmp_path / "model", 0
    path.write_bytes(frames[name])
    use(read(name, path))
    tracemalloc.start()
    begin = time.process_time()
    for what, data in damaged(frames[name]):
        path.write_bytes(data)
        count += 1
        try:
            use(read(name, path))
        except BluetuskError:
            continue
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 100
    assert peak < 64 << 20
    assert (time.process_time() - begin) / count < 0.25


REFUSED: list[tuple[str, tuple[Any, ...], Any]] = [
    *((f"bins {role}", ("bins", 0, "edges", 0), value) for role in ("guest", "host") for value in (None, "3", True)),
    ("bins guest", ("bins", 0, "rows", 0), 0.5),
    ("bins guest", ("bins", 0, "events", 0), -1),
    ("bins guest", ("bins", 0, "events", 0), 1 << 40),  # more than rows
    ("bins guest", ("bins", 1, "groups"), [["a"], ["a"]]),
    ("bins guest", ("bins", 0, "name"), 7),
    ("bins guest", ("bins", 0, "name"), "c"),  # twice
    ("bins guest", ("bins",), {}),
    ("bins guest", ("hosts", 0), ""),
    ("bins guest", ("hosts", 0, 0, "rows", 0), -1),
    ("bins guest", ("hosts", 0, 0, "events", 0), 1 << 40),
    ("bins guest", ("hosts", 0, 0, "woe", 0), float("nan")),
    ("bins guest", ("hosts", 0, 0, "woe", 0), None),
    ("bins guest", ("hosts", 0, 0, "iv"), float("inf")),
    ("bins guest", ("hosts", 0, 0, "sound"), "no"),
    ("bins guest", ("hosts", 0, 0, "party"), None),
    ("bins guest", ("min_iv",), float("nan")),
    ("bins guest", ("label_digest",), "00"),
    ("bins guest", ("parameters", "categorical"), 1),
    ("bins guest", ("parameters", "monotonic"), "no"),
    ("bins guest", ("profile", 0, "rows"), 1 << 70),
    ("bins guest", ("profile", 0, "whole"), "no"),
    ("plain guest", ("key_size",), 3),
    ("plain guest", ("key_size",), (1 << 64) - 1),
    ("plain guest", ("columns",), ["a"]),
    ("plain guest", ("columns",), ["a", "a"]),
    ("plain guest", ("half", "unit"), "a"),
    ("plain guest", ("half", "unit"), "nan"),
    ("plain guest", ("points", 0), "40"),
    ("plain guest", ("points", 1), "inf"),
    ("plain guest", ("calibration", 0), "a"),
    ("plain guest", ("binning",), b"x"),
    ("binned host", ("half", "whitened"), 3),
    ("trees guest", ("settings", "learning_rate"), 1),
    ("trees guest", ("settings", "key_size"), (1 << 64) - 1),
    ("trees guest", ("classes",), [1, 0]),
    ("trees guest", ("classes",), [0, 0]),
    ("trees guest", ("classes", 1), (1 << 64) - 1),
    ("trees host", ("classes",), ["a", "b"]),
    ("trees guest", ("columns",), ["a", "a"]),
    ("labels", ("fields", "primes"), "nan"),
    ("labels", ("fields", "primes"), [b"", b""]),
    ("labels", ("fields", "primes"), [b"\xff" * 128, b"\xff" * 128]),
]


@pytest.mark.parametrize(("name", "at", "value"), REFUSED, ids=lambda v: str(v)[:40])
def test_values_that_are_not_of_a_model(
    frames: dict[str, bytes], name: str, at: tuple[Any, ...], value: Any, tmp_path: Any
) -> None:
    got = frame.decode(frames[name])
    payload = bytes(got.payload)
    if name.startswith("bins"):
        made = frame.encode(got.kind, got.header, json.dumps(changed(json.loads(payload), at, value)).encode())
    else:
        made = frame.encode(got.kind, changed(got.header, at, value), payload)
    (tmp_path / "model").write_bytes(made)
    with pytest.raises((FrameError, bt.InvalidKey)):
        read(name, tmp_path / "model")


def test_labels_of_a_model_are_of_one_type() -> None:
    assert _classes(["a", "b"]).tolist() == ["a", "b"]
    for listed in ([0, True], [0.5, 1.5], [None, None], [[], []]):
        with pytest.raises(FrameError):
            _classes(listed)


@pytest.mark.parametrize(
    "error", [KeyError("shape"), ValueError("Expecting value"), AttributeError("x"), TypeError("")]
)
def test_a_damaged_state_is_a_typed_error(error: Exception) -> None:
    class Kept:
        def resume(self, task: str) -> tuple[int, bytes]:
            return 1, b"inputs" + b"state"

    class Job:
        name, inputs, steps = "example", b"inputs", 2

        def state(self) -> bytes:
            return b""

        def restore(self, state: bytes) -> None:
            raise error

    with pytest.raises(FrameError, match=r"kept steps of 'example' are damaged .*restore them, or begin anew"):
        drive(Job(), local_links()[:1], keeper=Kept())  # type: ignore[arg-type]
