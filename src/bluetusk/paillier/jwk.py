"""Public keys as JSON, in the manner of a JWK (RFC 7517) and with the names that phe's command line uses."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NamedTuple

from ..errors import InvalidKey
from .validate import KEY_BITS

__all__ = ["Members", "dump", "parse"]

_KID = re.compile(r"bluetusk:sha256:([0-9a-f]{64})")
_KID_PREFIX = "bluetusk:sha256:"
_MAX_JSON = 1 << 14
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_MAX_DIGITS = max(KEY_BITS) // 3 + 8  # 4 characters for 3 bytes of hs, the longest integer: 2 * 4096 bits
_SECRETS = frozenset({"p", "q", "d", "lambda", "mu"})


class Members(NamedTuple):
    """The members that make a public key.

    Attributes
    ----------
    n : int
        The modulus.
    hs : int or None
        The base of the obfuscators, if there.
    suite : str
        Name of the suite.
    fingerprint : bytes or None
        From ``kid``, if it holds one of ours.

    Examples
    --------
    >>> Members(35, None, "standard", None).suite
    'standard'
    """

    n: int
    hs: int | None
    suite: str
    fingerprint: bytes | None


def dump(members: Members) -> str:
    """Write a public key as JSON.

    Parameters
    ----------
    members : Members
        The key.

    Returns
    -------
    str
        One object.

    Examples
    --------
    >>> dump(Members(35, None, "standard", b"#"))[:66]
    '{"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": "Iw"'
    """
    out: dict[str, Any] = {
        "kty": "DAJ",
        "alg": "PAI-GN1",
        "key_ops": ["encrypt"],
        "n": _to_base64url(members.n),
        "kid": _KID_PREFIX + (members.fingerprint or b"").hex(),
        "suite": members.suite,
    }
    if members.hs is not None:
        out["hs"] = _to_base64url(members.hs)
    return json.dumps(out)


def parse(text: str | bytes) -> Members:
    """Read JSON that anyone may have written; the numbers are still to be checked.

    Parameters
    ----------
    text : str or bytes
        At most 16 KiB.

    Returns
    -------
    Members
        The key; ``suite`` is ``standard`` where the JSON names none, as in keys of phe.

    Raises
    ------
    InvalidKey
        If `text` is not one object with the members of a public key, each named once, or holds a private key.
    TypeError
        If `text` is neither str nor bytes.

    Examples
    --------
    >>> parse('{"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": "Iw"}')
    Members(n=35, hs=None, suite='standard', fingerprint=None)
    """
    members = _object(text)
    if _SECRETS & members.keys():
        raise InvalidKey("this JSON holds a private key: never send it; ask its owner for the public key only")
    if members.get("kty") != "DAJ" or members.get("alg") != "PAI-GN1":
        raise InvalidKey("this JSON is not a Paillier public key: kty must be 'DAJ' and alg 'PAI-GN1'")
    if "encrypt" not in _member(members, "key_ops", list, ["encrypt"]):
        raise InvalidKey("key_ops of this JSON does not allow 'encrypt'; ask for a key made to encrypt")
    n = _from_base64url(_member(members, "n", str), "n")
    hs = _from_base64url(_member(members, "hs", str), "hs") if "hs" in members else None
    kid = members.get("kid")
    digest = None
    if isinstance(kid, str) and kid.startswith(_KID_PREFIX):
        match = _KID.fullmatch(kid)
        if match is None:
            raise InvalidKey("kid of this JSON does not hold a whole fingerprint; ask for the key again")
        digest = bytes.fromhex(match[1])
    return Members(n, hs, _member(members, "suite", str, "standard"), digest)


def _to_base64url(value: int) -> str:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")  # RFC 7518 section 2: zero is one octet
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64url(text: str, name: str) -> int:
    if len(text) > _MAX_DIGITS or not _BASE64URL.fullmatch(text):
        raise InvalidKey(f"{name} of this JSON is not an integer in base64url; ask for the key again")
    digits = text.rstrip("=")
    try:
        data = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        raise InvalidKey(f"{name} of this JSON is not an integer in base64url; ask for the key again") from None
    return int.from_bytes(data, "big")


def _object(text: str | bytes) -> dict[str, Any]:
    """Parse an object of bounded size that names no member twice."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"text must be str or bytes, not {type(text).__name__}")
    if len(text) > _MAX_JSON:
        raise InvalidKey(f"this JSON is longer than {_MAX_JSON} characters, too long for a public key")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a member is named twice")
        return members

    try:
        members = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number of too many digits, a name twice, nested deep
        raise InvalidKey("this is not one JSON object with distinct members; ask for the key again") from None
    if not isinstance(members, dict):
        raise InvalidKey("this JSON is not an object; ask for the key again")
    return members


def _member(members: dict[str, Any], name: str, kind: type[Any], default: Any = None) -> Any:
    value = members.get(name, default)
    if not isinstance(value, kind):
        raise InvalidKey(f"{name} of this JSON is missing or not a {kind.__name__}; ask for the key again")
    return value
