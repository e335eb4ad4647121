"""The vectors in tests/vectors: published ones (Apache Milagro, openHiTLS) and our own in the style of Wycheproof."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import bluetusk as bt
from bluetusk.paillier import PrivateKey, PublicKey, hazmat

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = [f"paillier_{part}.json" for part in ("encrypt", "decrypt", "keys")] + ["milagro_mta.json", "openhitls.json"]
REFUSALS = (bt.BluetuskError, TypeError, ValueError)

Vector = dict[str, Any]


@cache
def load(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / name).read_text())


def number(text: str) -> int:
    return int(text, 16)


def groups(name: str) -> list[Any]:
    return [
        pytest.param(group, id=f"{group['type']}-{group.get('suite', 'keys')}-{group.get('keySize', '')}-{index}")
        for index, group in enumerate(load(name)["testGroups"])
    ]


def public_key(group: Vector) -> PublicKey:
    hs = group["publicKey"].get("hs")
    return PublicKey(number(group["publicKey"]["n"]), number(hs) if hs else None, suite=group["suite"])


def private_key(group: Vector) -> PrivateKey:
    p, q = (number(group["privateKey"][name]) for name in "pq")
    hs = group["publicKey"].get("hs")
    return PrivateKey(p, q, suite=group["suite"], hs=number(hs) if hs else None)


def residue(m: int, n: int) -> int:
    """A signed message as the residue that stands for it; what is no signed message stays as it is."""
    return m + n if -n // 2 < m < 0 else m


def signed(m: int, n: int) -> int:
    return m - n if m > n // 2 else m


def modulus_and_order(p: int, q: int) -> tuple[int, int]:
    """n and the order of Z_n^*: enough to decrypt with Python's integers alone."""
    return p * q, (p - 1) * (q - 1)


def reference_decrypt(p: int, q: int, c: int) -> int:
    n, order = modulus_and_order(p, q)
    return (pow(c, order, n * n) - 1) // n * pow(order, -1, n) % n


@pytest.mark.parametrize("name", FILES)
def test_file_is_complete(name: str) -> None:
    """Tests are numbered and counted, every flag is explained, every result is one of three, the origin is named."""
    content = load(name)
    tests = [test for group in content["testGroups"] for test in group["tests"]]
    assert [test["tcId"] for test in tests] == list(range(1, content["numberOfTests"] + 1))
    assert {flag for test in tests for flag in test["flags"]} == set(content["notes"])
    assert {test["result"] for test in tests} <= {"valid", "acceptable", "invalid"}
    assert content["algorithm"] == "Paillier"
    assert "generator" in content or {"url", "commit", "sha256"} <= set(content["source"])


@pytest.mark.parametrize("group", groups("paillier_encrypt.json"))
def test_encrypt(group: Vector) -> None:
    pub = public_key(group)
    n = int(pub.n)
    good = [test for test in group["tests"] if test["result"] == "valid"]
    messages = [residue(number(test["m"]), n) for test in good]
    got = hazmat.encrypt_with(pub, messages, [number(test["r"]) for test in good])
    assert [int(c) for c in got] == [number(test["c"]) for test in good]
    p, q = (number(group["privateKey"][name]) for name in "pq")
    assert [reference_decrypt(p, q, number(test["c"])) for test in good[::5]] == messages[::5]  # slow: a sample
    for test in group["tests"]:
        m, r = residue(number(test["m"]), n), number(test["r"])
        if test["result"] == "invalid":
            with pytest.raises(REFUSALS):
                hazmat.encrypt_with(pub, m, r)
        elif test["result"] == "acceptable":
            try:
                c = hazmat.encrypt_with(pub, m, r)
            except REFUSALS:
                continue
            assert int(c) == number(test["c"]), test["comment"]


@pytest.mark.parametrize("group", groups("paillier_decrypt.json"))
def test_decrypt(group: Vector) -> None:
    good = [test for test in group["tests"] if test["result"] == "valid"]
    bad = [test for test in group["tests"] if test["result"] == "invalid"]
    assert len(good) + len(bad) == len(group["tests"])
    with private_key(group) as priv:
        n = int(priv.public_key.n)
        opened = hazmat.decrypt_raw(priv, [number(test["c"]) for test in good])
        assert [signed(int(m), n) for m in opened] == [number(test["m"]) for test in good]
        for test in bad:
            with pytest.raises(bt.InvalidCiphertext):
                hazmat.decrypt_raw(priv, number(test["c"]))
            with pytest.raises(bt.InvalidCiphertext):  # one bad value spoils the batch, wherever it stands
                hazmat.decrypt_raw(priv, [number(good[0]["c"]), number(test["c"])])


@pytest.mark.parametrize("test", load("paillier_keys.json")["testGroups"][0]["tests"], ids=lambda test: test["comment"])
def test_public_key(test: Vector) -> None:
    hs = number(test["hs"]) if "hs" in test else None
    n, suite = number(test["n"]), test["suite"]
    if test["result"] == "invalid":
        with pytest.raises(bt.InvalidKey):
            PublicKey(n, hs, suite=suite)
        return
    pub = PublicKey(n, hs, suite=suite)
    assert (int(pub.n), pub.suite, pub.bits) == (n, suite, n.bit_length())
    assert pub.hs == hs
    if "DerivedGenerator" in test["flags"]:
        assert int(PublicKey(n).hs) == hs


@pytest.mark.parametrize("test", load("paillier_keys.json")["testGroups"][1]["tests"], ids=lambda test: test["comment"])
def test_private_key(test: Vector) -> None:
    p, q, suite = number(test["p"]), number(test["q"]), test["suite"]
    hs = number(test["hs"]) if "hs" in test else None
    if test["result"] == "invalid":
        with pytest.raises(bt.InvalidKey):
            PrivateKey(p, q, suite=suite, hs=hs)
        return
    with PrivateKey(p, q, suite=suite, hs=hs) as priv:
        assert int(priv.public_key.n) == p * q
        assert int(hazmat.decrypt_raw(priv, hazmat.encrypt_with(priv.public_key, 4711, 1234567))) == 4711


@pytest.mark.parametrize("group", groups("milagro_mta.json"))
def test_milagro(group: Vector) -> None:
    """Ten multiplicative-to-additive conversions: every published ciphertext, bit for bit."""
    pub = public_key(group)
    n = int(pub.n)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1
    first, mask, combine, opening = group["tests"]
    for test in (first, mask):
        assert int(hazmat.encrypt_with(pub, number(test["m"]), number(test["r"]) % n)) == number(test["c"])
    bases, exponents = [number(combine["c"]), number(combine["d"])], [number(combine["k"]), 1]
    assert int(bt.modexp.multiexp(bases, exponents, n * n)) == number(combine["out"]) == number(opening["c"])
    with private_key(group) as priv:
        m = int(hazmat.decrypt_raw(priv, number(opening["c"])))
    assert m == number(opening["m"]) == number(first["m"]) * number(combine["k"]) + number(mask["m"])
    assert (m % order, -number(mask["m"]) % order) == (number(group["alpha"]), number(group["beta"]))


@pytest.mark.parametrize("group", groups("openhitls.json"))
def test_openhitls(group: Vector) -> None:
    key, first, second, added = group["tests"]
    p, q = (number(group["privateKey"][name]) for name in "pq")
    n, order = modulus_and_order(p, q)
    assert (n, n * n) == (number(key["n"]), number(key["n2"]))
    assert pow(number(key["lambda"]), -1, n) == number(key["mu"])
    assert order % number(key["lambda"]) == 0
    with pytest.raises(bt.InvalidKey, match="gcd"):
        PrivateKey(p, q, suite="djn")
    with private_key(group) as priv:
        assert int(priv.public_key.nsquare) == number(key["n2"])
        for test in (first, second):
            assert int(hazmat.decrypt_raw(priv, number(test["c"]))) == number(test["m"])
        total = int(bt.modexp.multiexp([number(added["c"]), number(added["d"])], [1, 1], n * n))
        assert total == number(added["out"])
        assert int(hazmat.decrypt_raw(priv, total)) == number(added["m"]) == number(first["m"]) + number(second["m"])


def test_vectors_would_fail_another_library() -> None:
    """The files tell a right implementation from likely wrong ones, not only from a crash."""
    group = load("paillier_encrypt.json")["testGroups"][0]
    n = number(group["publicKey"]["n"])
    test = group["tests"][0]
    m, r, c = (number(test[name]) for name in "mrc")
    assert c == (1 + m * n) * pow(r, n, n * n) % (n * n)
    assert c != (1 + m * n) * r % (n * n)  # forgot the power
    assert c != (1 + m * n) * pow(r, n, n) % (n * n)  # took it modulo n
    assert c != (1 - m * n) * pow(r, n, n * n) % (n * n)  # lost the sign
