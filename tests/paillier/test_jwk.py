from __future__ import annotations

import base64
import json

import phe.util
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetusk.errors import InvalidKey
from bluetusk.paillier import jwk

MEMBERS = jwk.Members(35, 999, "djn", bytes(range(32)))
GOOD = json.loads(jwk.dump(MEMBERS))


def text(**changes) -> str:
    members = {**GOOD, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None})


@given(
    st.integers(1, 1 << 8192),
    st.none() | st.integers(0, 1 << 8192),
    st.text(max_size=9),
    st.binary(min_size=32, max_size=32),
)
def test_what_is_written_is_read(n, hs, suite, digest):
    members = jwk.Members(n, hs, suite, digest)
    assert jwk.parse(jwk.dump(members)) == members
    assert jwk.parse(jwk.dump(members).encode()) == members


def test_the_names_are_those_of_phe():
    assert GOOD["kty"] == "DAJ"
    assert GOOD["alg"] == "PAI-GN1"
    assert GOOD["key_ops"] == ["encrypt"]
    assert GOOD["kid"] == "bluetusk:sha256:" + bytes(range(32)).hex()


@given(st.integers(1, 1 << 4096))
def test_integers_are_those_of_phe(n):
    written = json.loads(jwk.dump(jwk.Members(n, None, "standard", None)))["n"]
    assert written == phe.util.int_to_base64(n)
    assert phe.util.base64_to_int(written) == n


def test_a_key_of_phe_is_read():
    theirs = {
        "kty": "DAJ",
        "alg": "PAI-GN1",
        "key_ops": ["encrypt"],
        "n": phe.util.int_to_base64(77),
        "kid": "some words",
    }
    assert jwk.parse(json.dumps(theirs)) == jwk.Members(77, None, "standard", None)


def test_unknown_members_are_ignored_and_padding_is_tolerated():
    assert jwk.parse(text(use="enc", x5c=[{}], n="Iw==", exp=None)) == MEMBERS


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"kty"',
        "nan",
        "\x00",
        "[" * 10_000,
        '{"a":' * 3_000,
        "9" * 10_000,
        '{"n": ' + "9" * 10_000 + "}",
        "\ud800",
        b"\xff\xfe\x00",
        b"\x80",
        '{"kty": "DAJ", ' + text()[1:],
        " " * (1 << 14) + text(),
        json.dumps([GOOD]),
        *(text(**{name: None}) for name in ("kty", "alg", "n")),
        *(text(kty=value) for value in ("RSA", "daj", 7, ["DAJ"])),
        *(text(alg=value) for value in ("PAI-GN2", "", 7, {})),
        *(text(key_ops=value) for value in ([], ["decrypt"], "encrypt", 7, {"encrypt": 1})),
        *(
            text(n=value)
            for value in ("", "=", "Iw=x", "I w", "Iw\n", "I", "Iw===", "a+b/", "Ä", 35, ["Iw"], "A" * 1400)
        ),
        *(text(hs=value) for value in ("", 7, "*", "A" * 1400)),
        *(text(suite=value) for value in (7, [], {})),
        *(text(kid="bluetusk:sha256:" + value) for value in ("", "00", "zz" * 32, "AB" * 32, "00" * 33)),
        *(text(**{name: "Aw"}) for name in ("p", "q", "d", "lambda", "mu")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_anything_else_is_refused(wrong):
    with pytest.raises(InvalidKey, match=r";|JSON"):
        jwk.parse(wrong)


@pytest.mark.parametrize("wrong", [None, 7, bytearray(b"{}"), {}, ["n"]])
def test_other_types_are_named(wrong):
    with pytest.raises(TypeError, match="text must be str or bytes"):
        jwk.parse(wrong)


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_text_is_refused_with_one_kind_of_error(data):
    with pytest.raises(InvalidKey):
        jwk.parse(data)


def test_private_keys_are_recognised():
    theirs = {"kty": "DAJ", "key_ops": ["decrypt"], "p": "Aw", "q": "Bw", "pub": GOOD, "kid": "x"}
    with pytest.raises(InvalidKey, match="private key: never send it"):
        jwk.parse(json.dumps(theirs))


def test_base64_is_decoded_to_the_same_number():
    for size in range(1, 40):
        data = bytes(range(1, size + 1))
        coded = base64.urlsafe_b64encode(data).decode()
        assert jwk.parse(text(n=coded)).n == jwk.parse(text(n=coded.rstrip("="))).n == int.from_bytes(data, "big")
