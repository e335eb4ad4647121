"""Sums of dicts of arrays of any shape, as somebody writes them who comes from NumPy: at once, or with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import bluetusk as bt
from bluetusk.encoding import FixedPoint
from bluetusk.errors import DecryptionError, EncodingOverflow, FrameError, ProtocolAbort
from bluetusk.federated import PaillierSum, SumResult
from bluetusk.federated.secagg import Session, plan
from bluetusk.wire.frame import Kind, decode, encode

KEYS = {name: Ed25519PrivateKey.generate() for name in ("north", "south", "west")}
CLIENTS = {name: key.public_key() for name, key in KEYS.items()}
MODEL = {"weights": np.arange(6.0).reshape(2, 3) - 2.5, "bias": np.array(0.25), "counts": np.array([[10], [-3]])}


@pytest.fixture(scope="module")
def session(pub: Any) -> PaillierSum:
    return PaillierSum(pub, MODEL, {name: (key, 9) for name, key in CLIENTS.items()}, session_id=bytes(16))


@pytest.fixture(scope="module")
def messages(session: PaillierSum) -> dict[str, dict[str, bytes]]:
    return {
        name: session.client(name, key).contribute(0, {k: (i + 1) * v for k, v in MODEL.items()}, weight=i + 1)
        for i, (name, key) in enumerate(KEYS.items())
    }


@pytest.fixture(scope="module")
def totals(session: PaillierSum, messages: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    aggregator = session.aggregator()
    assert all(aggregator.add(message) for message in messages.values())
    return aggregator.finish(0)


def test_the_ten_lines_of_a_newcomer(tmp_path: Path, pub: Any, priv: Any) -> None:
    keys = {name: Ed25519PrivateKey.generate() for name in ["north", "south"]}
    update = {"weights": np.array([[1.5, -2000.0], [0.25, 0.0]]), "bias": np.array([7, -7])}
    session = bt.federated.PaillierSum(pub, update, {name: key.public_key() for name, key in keys.items()})
    aggregator = session.aggregator()
    for name, key in keys.items():
        assert aggregator.add(session.client(name, key).contribute(0, update))
    with session.key_holder(priv, state=tmp_path / "opened") as holder:
        results = holder.open(aggregator.finish(0))
    assert np.array_equal(results["weights"].mean, update["weights"])
    assert np.array_equal(results["bias"].sum, 2 * update["bias"])
    assert results["bias"].clients == ("north", "south")


def test_every_shape_comes_back(tmp_path: Path, session: PaillierSum, totals: dict[str, bytes], priv: Any) -> None:
    with session.key_holder(priv, state=tmp_path / "sums") as holder:
        results = holder.open(totals)
        with pytest.raises(ProtocolAbort, match="was already decrypted"):
            holder.open(totals["bias"])
    for name, array in MODEL.items():
        assert results[name].integers.shape == results[name].mean.shape == array.shape == session.shapes[name]
        assert np.array_equal(results[name].sum, array * (1 + 4 + 9))
        assert results[name].weight == 6
        again = SumResult.from_bytes(results[name].to_bytes(session), session)
        assert np.array_equal(again.integers, results[name].integers)
        assert again.integers.shape == array.shape


def test_sessions_with_shapes_travel(pub: Any, priv: Any, session: PaillierSum) -> None:
    data = session.prove(priv).to_bytes()
    again = PaillierSum.from_bytes(data)
    assert again == session
    assert again.shapes == session.shapes == {"bias": (), "counts": (2, 1), "weights": (2, 3)}
    assert again.to_bytes() == data
    flat = PaillierSum(pub, {"x": (FixedPoint(), 6)}, CLIENTS, session_id=bytes(16))
    assert flat == PaillierSum(pub, {"x": (FixedPoint(), (6,))}, CLIENTS, session_id=bytes(16))
    assert flat != PaillierSum(pub, {"x": (FixedPoint(), (2, 3))}, CLIENTS, session_id=bytes(16))
    assert (
        len(decode(flat.to_bytes()).header["tensors"]["x"]) == 2
    )  # the frame of one axis is that of the first version
    with pytest.raises(TypeError):
        session.shapes["bias"] = (1,)  # type: ignore[index]


@pytest.mark.parametrize(
    "shape", [[6], [2, 4], [-2, -3], [2, 3.0], "23", [1] * 33, [2**62, 4, 0], None, [[2], 3], [True, 6], {}]
)
def test_a_shape_that_does_not_fit_its_length_is_refused(session: PaillierSum, shape: Any) -> None:
    frame = decode(session.to_bytes())
    tensors = {**frame.header["tensors"], "weights": [*frame.header["tensors"]["weights"][:2], shape]}
    try:
        data = encode(Kind.SUM_SESSION, {**frame.header, "tensors": tensors}, frame.payload)
    except (TypeError, ValueError, FrameError):
        return
    with pytest.raises(FrameError, match=r"malformed|not allowed|shape"):
        PaillierSum.from_bytes(data)


def test_every_role_checks_the_same_structure(
    tmp_path: Path, session: PaillierSum, messages: dict[str, dict[str, bytes]], totals: dict[str, bytes], priv: Any
) -> None:
    client = session.client("north", KEYS["north"])
    for arrays, match in (
        ({k: v for k, v in MODEL.items() if k != "bias"}, "tensor: 'bias' is missing"),
        ({**MODEL, "more": 1.0}, "tensor: 'more' is not a tensor of this session, which has 'bias', 'counts'"),
        ({**MODEL, "weights": MODEL["weights"].T}, r"tensor\['weights'\] must have the shape agreed .* \(2, 3\), not"),
        ({**MODEL, "bias": [0.25]}, r"\(\), not \(1,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            client.contribute(0, arrays)
    with pytest.raises(EncodingOverflow, match=r"tensor\['weights'\]\[0, 1\] is beyond clip=1048576"):
        client.contribute(0, {**MODEL, "weights": np.array([[0, 2.0**21, 0], [0, 0, 0]])})
    client.contribute(0, MODEL)  # nothing of the refused ones counts
    aggregator = session.aggregator()
    with pytest.raises(TypeError, match=r"message\['weights'\] must be bytes-like, not str"):
        aggregator.add({**messages["north"], "weights": "text"})  # type: ignore[dict-item]
    assert not aggregator.clients(0, "bias")
    for wrong, name, reason in (
        ({k: v for k, v in messages["north"].items() if k != "bias"}, "bias", "missing"),
        ({**messages["north"], "bias": messages["north"]["counts"]}, "bias", "for another tensor"),
        ({**messages["north"], "bias": b"noise"}, "bias", "truncated"),
        ({**messages["north"], "more": b""}, "", "not a tensor"),
    ):
        answers = session.aggregator().add(wrong)
        assert not answers
        assert reason in answers[name].reason
        assert sum(map(bool, answers.values())) >= 2
    answers = aggregator.add(messages["north"])
    assert answers
    assert {name: answer.clients for name, answer in answers.items()} == dict.fromkeys(session.tensors, 1)
    # one tensor of three lacks a client: no sum is closed
    assert aggregator.add(messages["south"])
    assert aggregator.add(messages["west"]["weights"])
    with pytest.raises(ProtocolAbort, match="'bias' holds 2 clients"):
        aggregator.finish(0)
    assert aggregator.clients(0, "weights") == ("north", "south", "west")
    for wrong, match in (
        ({k: v for k, v in totals.items() if k != "bias"}, "'bias' is missing"),
        ({**totals, "more": b""}, "filed under a name that is not a tensor"),
        ({**totals, "bias": totals["counts"]}, "under the name 'bias' is of tensor 'counts'"),
        ({**totals, "bias": totals["bias"][:-1]}, "the total is refused"),
    ):
        with session.key_holder(priv, state=tmp_path / "sums") as holder, pytest.raises(ProtocolAbort, match=match):
            holder.open(wrong)
    with session.key_holder(priv, state=tmp_path / "sums") as holder:  # none of them was spent
        assert holder.open(totals)["bias"].weight == 6


def test_totals_of_two_rounds_do_not_mix(
    tmp_path: Path, session: PaillierSum, totals: dict[str, bytes], priv: Any
) -> None:
    aggregator = session.aggregator()
    for name, key in KEYS.items():
        assert aggregator.add(session.client(name, key).contribute(1, "bias", 0.5))
    other = aggregator.finish(1, "bias")
    with (
        session.key_holder(priv, state=tmp_path / "sums") as holder,
        pytest.raises(ProtocolAbort, match="not of one round"),
    ):
        holder.open({**totals, "bias": other})


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"public_key": "priv"}, TypeError, r"public_key is the private key.*give priv\.public_key"),
        (
            {"public_key": CLIENTS["north"]},
            TypeError,
            r"public_key must be a PublicKey of bluetusk.*generate_keypair\(\)",
        ),
        ({"tensors": MODEL["weights"]}, TypeError, r"tensors must be a mapping .* not ndarray: give \{'x': array\}"),
        ({"tensors": {"x": [1.0, 2.0]}}, TypeError, r"tensors\['x'\] must be an array.*numpy\.array"),
        ({"tensors": {"x": np.array(["a"])}}, TypeError, r"tensors\['x'\] must be an array of numbers"),
        ({"tensors": {"x": np.zeros((0, 3))}}, ValueError, r"tensors\['x'\]: the length must be 1"),
        ({"tensors": {"x": (1,) * 33}}, ValueError, r"tensors\['x'\] has 33 axes"),
        ({"tensors": {"x": (2, -3)}}, ValueError, r"tensors\['x'\]: the shape"),
        ({"tensors": {"x": (2, 3.5)}}, TypeError, r"tensors\['x'\]: the shape"),
        ({"clients": list(CLIENTS)}, TypeError, r"clients must be a mapping.*give \{name: key\.public_key\(\)"),
        ({"clients": KEYS}, TypeError, r"clients\['north'\].*private key, which its owner keeps: give key\.public_key"),
        ({"clients": {"a": X25519PrivateKey.generate(), "b": bytes(32)}}, TypeError, "must be an Ed25519PublicKey"),
        (
            {"clients": {"a": bytes(44), "b": bytes(32)}},
            ValueError,
            r"has 32 bytes, not 44: give key\.public_bytes_raw",
        ),
    ],
)
def test_a_wrong_guess_names_argument_value_rule_and_remedy(
    pub: Any, priv: Any, change: dict[str, Any], error: type[Exception], match: str
) -> None:
    given = {"public_key": pub, "tensors": MODEL, "clients": CLIENTS, **change}
    given["public_key"] = priv if given["public_key"] == "priv" else given["public_key"]
    with pytest.raises(error, match=match):
        PaillierSum(**given)


def test_wrong_guesses_of_the_roles(session: PaillierSum, priv: Any) -> None:
    client = session.client("north", KEYS["north"])
    for use, error, match in (
        (lambda: session.client("nord", KEYS["north"]), ValueError, "'nord' is not a client .* has 'north', 'south'"),
        (
            lambda: session.client("north", CLIENTS["north"]),
            TypeError,
            "is a public key: give the Ed25519PrivateKey of",
        ),
        (lambda: session.client("north", KEYS["south"]), ValueError, "does not belong .* 'north': give the key"),
        (lambda: session.client("north", b"x"), ValueError, "32 bytes, not 1: give the Ed25519PrivateKey"),
        (lambda: client.contribute(0, "bias"), TypeError, "values is missing: give the array of tensor 'bias'"),
        (lambda: client.contribute(0, MODEL, 3), TypeError, "values is given .* give weight= by its name"),
        (lambda: client.contribute(0, [1.0]), TypeError, r"tensor must be a name .* or a mapping .* not list"),
        (lambda: client.contribute(0, "bais", 1.0), ValueError, "'bais' is not a tensor .* has 'bias', 'counts'"),
        (lambda: client.contribute(MODEL, 0), TypeError, "tensor must be a name"),
        (
            lambda: client.contribute(0, MODEL, weight=10),
            ValueError,
            r"weight must be 1 to 9, not 10: .* \(key, largest",
        ),
        (
            lambda: session.aggregator().finish(0, "x"),
            ValueError,
            "'x' is not a tensor of this session, which has 'bias'",
        ),
        (lambda: session.key_holder(priv), TypeError, "state is missing: give the path of a file"),
    ):
        with pytest.raises(error, match=match):
            use()


@pytest.mark.parametrize(
    ("weight", "clip", "limit"),
    [(1, 2.0**20, 2**31 - 1), (10**6, 2.0**19, 2**31 - 1), (2**31, 2.0**8, (2**61 - 1) // (3 * 2**31))],
)
def test_a_default_plan_has_room_for_every_weight(
    tmp_path: Path, pub: Any, priv: Any, weight: int, clip: float, limit: int
) -> None:
    """All clients at their largest weight with the largest values of both signs."""
    clients = {name: (key, weight) for name, key in CLIENTS.items()}
    most = {"reals": np.array([[clip], [-clip]]), "ints": np.array([limit, -limit])}
    session = PaillierSum(pub, most, clients)
    assert {name: plan.clip for name, (plan, _) in session.tensors.items()} == {"reals": clip, "ints": limit}
    assert max(plan.slot_bits for plan, _ in session.tensors.values()) <= 64
    aggregator = session.aggregator()
    for name, key in KEYS.items():
        assert aggregator.add(session.client(name, key).contribute(0, most, weight=weight))
    with session.key_holder(priv, state=tmp_path / "sums") as holder:
        results = holder.open(aggregator.finish(0))
    for name, array in most.items():
        assert np.array_equal(results[name].mean, array)
    with pytest.raises(ValueError, match=r"tensors\['reals'\]: .* no room for values .*: lower them, or give"):
        PaillierSum(pub, {"reals": most["reals"]}, {name: (key, 2**62) for name, key in CLIENTS.items()})


def test_a_total_with_a_sum_of_other_clients_is_noticed(tmp_path: Path, session: PaillierSum, priv: Any) -> None:
    """The shapes change nothing about what the holder checks of the decrypted integers."""
    with pytest.raises(ValueError, match=r"shape of the tensor, \(2, 3\), not \(6,\)"):
        SumResult.from_integers(session, 0, "weights", np.zeros(6, int), 3, list(KEYS))
    assert issubclass(DecryptionError, bt.BluetuskError)


def test_secure_aggregation_takes_key_objects(pub: Any) -> None:
    server = Ed25519PrivateKey.generate()
    session = Session(plan(3), FixedPoint(), 4, CLIENTS, server.public_key())
    same = {name: (key.public_bytes_raw(), 1) for name, key in CLIENTS.items()}
    assert session == Session(
        plan(3), FixedPoint(), 4, same, server.public_key().public_bytes_raw(), session_id=session.session_id
    )
    with pytest.raises(TypeError, match=r"server is a private key, which its owner keeps: give key\.public_key"):
        Session(plan(3), FixedPoint(), 4, CLIENTS, server)


def test_tensors_of_other_libraries_are_named(pub: Any) -> None:
    class Tensor:
        shape, dtype = (2, 3), "torch.float32"

    with pytest.raises(TypeError, match=r"tensors\['x'\] is a Tensor of torch.float32, a type .*: give its shape"):
        PaillierSum(pub, {"x": Tensor()}, CLIENTS)
    with pytest.raises(TypeError, match="not DataFrame: make an array of it"):
        PaillierSum(pub, {"x": type("DataFrame", (), {})()}, CLIENTS)


def test_a_list_is_no_name_of_a_tensor(session: PaillierSum) -> None:
    with pytest.raises(ValueError, match=r"tensor: \['bias'\] is not a tensor of this session"):
        session.aggregator().finish(0, ["bias"])  # type: ignore[call-overload]
