from __future__ import annotations

import hashlib
import itertools

from bluetusk.paillier.fingerprint import WORDS, fingerprint, spoken
from bluetusk.paillier.scheme import SCHEMES


def edits(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def test_words_cannot_be_confused():
    assert len(set(WORDS)) == 256
    assert list(WORDS) == sorted(WORDS)
    assert all(word.isascii() and word.isalpha() and word.islower() and 4 <= len(word) <= 9 for word in WORDS)
    assert len({word[:4] for word in WORDS}) == 256
    assert min(edits(a, b) for a, b in itertools.combinations(WORDS, 2)) >= 3


def test_the_list_never_changes():
    # people compare keys across versions
    digest = hashlib.sha256(" ".join(WORDS).encode()).hexdigest()
    assert digest == "474457c516f04b1ff3a23ed9ac39fe7c295c434868dd90374ab7ae73b4001a63"


def test_every_byte_of_the_first_twelve_is_heard():
    digest = bytes(range(32))
    for position in range(32):
        for value in (0, 100, 255):
            other = digest[:position] + bytes([value]) + digest[position + 1 :]
            heard = other != digest and position < 12
            assert (spoken(other) != spoken(digest)) is heard
    assert len(spoken(digest).split()) == 12


def test_suite_n_and_hs_are_all_in_the_fingerprint():
    keys = [(suite, n, hs) for suite in SCHEMES for n in (35, 77, 256, 65535) for hs in (None, 1, 2, 256)]
    assert len({fingerprint(*key) for key in keys}) == len(keys)


def test_the_boundaries_between_the_parts_are_in_it_too():
    assert fingerprint("djn", 0x0201, 0x03) != fingerprint("djn", 0x01, 0x0302)
    assert fingerprint("djn", 0x6A64, None) != fingerprint("djnd", 0x6A, None)


def test_it_is_what_the_description_says():
    digest = hashlib.sha256(
        b"bluetusk/paillier/fingerprint/v1\x00"
        + b"\x03\x00\x00\x00djn"
        + b"\x02\x00\x00\x00\x01\x01"
        + b"\x01\x00\x00\x00\x09"
    )
    assert fingerprint("djn", 257, 9) == digest.digest()
