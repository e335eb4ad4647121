"""SLIP-0039's 45 vectors: shares over GF(2^8) with 0x11b. The mnemonics are parsed here, the kernel interpolates."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bluetusk.sharing._field import gf256

DATA = json.loads((Path(__file__).parents[1] / "vectors" / "slip39.json").read_text())
WORDS = {word: i for i, word in enumerate(DATA["wordlist"].split())}
GENERATOR = [0xE0E040, 0x1C1C080, 0x3838100, 0x7070200, 0xE0E0009]
GENERATOR += [0x1C0C2412, 0x38086C24, 0x3090FC48, 0x21B1F890, 0x3F3F120]


class NoSecret(Exception):
    """The mnemonics give none."""


def need(condition):
    if not condition:
        raise NoSecret


def checksum(values):
    c = 1
    for v in values:
        top = c >> 20
        c = (c & 0xFFFFF) << 10 ^ v
        for i in range(10):
            c ^= GENERATOR[i] if top >> i & 1 else 0
    return c


@dataclass(frozen=True)
class Share:
    common: tuple[int, int, int, int, int]  # identifier, extendable, exponent, group threshold, groups
    group: int
    member: int
    threshold: int
    value: bytes


def parse(mnemonic):
    words = mnemonic.split()
    need(all(word in WORDS for word in words))
    values = [WORDS[word] for word in words]
    need(len(values) >= 20)
    number = 0
    for v in values:
        number = number << 10 | v
    bits = 10 * len(values)
    at = 0

    def take(n):
        nonlocal at
        at += n
        return number >> (bits - at) & ((1 << n) - 1)

    identifier, extendable, exponent = take(15), take(1), take(4)
    group, group_threshold, groups, member, threshold = (take(4) for _ in range(5))
    label = b"shamir_extendable" if extendable else b"shamir"
    need(checksum([*label, *values]) == 1)
    value_bits = bits - at - 30
    padding = value_bits % 16
    need(padding <= 8)
    need(take(padding) == 0)
    length = (value_bits - padding) // 8
    value = take(value_bits - padding).to_bytes(length, "big")
    need(group_threshold <= groups)
    common = (identifier, extendable, exponent, group_threshold + 1, groups + 1)
    return Share(common, group, member, threshold + 1, value)


def recover(threshold, shares):
    """The secret at 255, checked by the digest at 254."""
    need(len(shares) == threshold and len({len(value) for value in shares.values()}) == 1)
    if threshold == 1:
        return next(iter(shares.values()))
    field = gf256()
    rows = np.stack([np.frombuffer(value, np.uint8) for value in shares.values()])
    secret, digest = (row.tobytes() for row in field.product(field.lagrange((255, 254), tuple(shares)), rows))
    need(hmac.new(digest[4:], secret, hashlib.sha256).digest()[:4] == digest[:4])
    return secret


def combine(mnemonics):
    shares = [parse(mnemonic) for mnemonic in mnemonics]
    need(len({share.common for share in shares}) == 1)
    identifier, extendable, exponent, group_threshold, _ = shares[0].common
    groups = defaultdict(list)
    for share in shares:
        groups[share.group].append(share)
    need(len(groups) == group_threshold)
    values = {}
    for group, members in groups.items():
        need(len({share.threshold for share in members}) == 1)
        need(len({share.member for share in members}) == len(members))
        values[group] = recover(members[0].threshold, {share.member: share.value for share in members})
    left, right = (lambda s: (s[: len(s) // 2], s[len(s) // 2 :]))(recover(group_threshold, values))
    salt = b"" if extendable else b"shamir" + identifier.to_bytes(2, "big")
    for i in (3, 2, 1, 0):  # a Feistel network of four rounds
        password = bytes([i]) + DATA["passphrase"].encode()
        f = hashlib.pbkdf2_hmac("sha256", password, salt + right, 2500 << exponent, len(right))
        left, right = right, bytes(a ^ b for a, b in zip(left, f, strict=True))
    return right + left


def test_the_file_is_whole():
    assert len(DATA["vectors"]) == 45
    assert len(WORDS) == 1024
    assert sum(not vector["master_secret"] for vector in DATA["vectors"]) > 20


@pytest.mark.parametrize("vector", DATA["vectors"], ids=[vector["comment"][:50] for vector in DATA["vectors"]])
def test_vector(vector):
    if vector["master_secret"]:
        assert combine(vector["mnemonics"]).hex() == vector["master_secret"]
    else:
        with pytest.raises(NoSecret):
            combine(vector["mnemonics"])
