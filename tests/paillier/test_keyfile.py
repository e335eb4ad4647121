from __future__ import annotations

import os
import time
import unicodedata

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given
from hypothesis import strategies as st

from bluetusk.errors import InvalidKey
from bluetusk.paillier import keyfile
from bluetusk.storage import sealed
from bluetusk.wire import frame

PASSPHRASE = "seven quiet otters"
ONE_MESSAGE = f"^{keyfile._REFUSED}$"
MATERIAL = keyfile.Material(2048, "djn", bytes(range(32)), (1 << 1023) + 12345, (1 << 1024) - 6789)
GIVEN = keyfile.Material(2048, "djn", bytes(range(32)), 3, 7, (1 << 4095) + 1)


@pytest.fixture
def quick(monkeypatch):
    """Replace scrypt by something fast that still depends on everything it is given; count its calls."""
    calls = []

    def derive(secret, header):
        calls.append(dict(header))
        given = b"|".join([secret, header["salt"], *(b"%d" % header[name] for name in ("log2_n", "r", "p"))])
        return Scrypt(salt=given, length=32, n=2, r=1, p=1).derive(given)

    monkeypatch.setattr(sealed, "_derive", derive)
    return calls


def with_header(data, **changes):
    decoded = frame.decode(data)
    header = {**decoded.header, **changes}
    return frame.encode(decoded.kind, {k: v for k, v in header.items() if v is not None}, decoded.payload)


def test_the_real_parameters_are_used_and_bound():
    data = keyfile.seal(MATERIAL, PASSPHRASE)
    assert keyfile.unseal(data, PASSPHRASE) == MATERIAL
    decoded = frame.decode(data, frame.Kind.PRIVATE_KEY)
    header = decoded.header
    assert (header["kdf"], header["log2_n"], header["r"], header["p"]) == ("scrypt", 17, 8, 1)
    # by the book, without the module: any implementation can open the file
    key = Scrypt(salt=header["salt"], length=32, n=1 << 17, r=8, p=1).derive(PASSPHRASE.encode())
    plain = AESGCM(key).decrypt(header["nonce"], bytes(decoded.payload), data[: -len(decoded.payload)])
    assert plain == MATERIAL.p.to_bytes(128, "little") + MATERIAL.q.to_bytes(128, "little")
    with pytest.raises(InvalidKey, match=ONE_MESSAGE):
        keyfile.unseal(data, PASSPHRASE + " ")


@pytest.mark.parametrize("material", [MATERIAL, GIVEN, keyfile.Material(4096, "standard", bytes(32), 5, 11)])
def test_every_flipped_byte_is_refused_with_one_message(quick, material):
    data = keyfile.seal(material, PASSPHRASE)
    assert keyfile.unseal(data, PASSPHRASE) == material
    for position in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            wrong = bytearray(data)
            wrong[position] ^= flip
            with pytest.raises(InvalidKey, match=ONE_MESSAGE):
                keyfile.unseal(bytes(wrong), PASSPHRASE)


def test_every_bit_of_the_header_is_bound_even_where_it_still_parses(quick):
    data = keyfile.seal(MATERIAL, PASSPHRASE)
    changes = [
        {"fingerprint": bytes(32)},
        {"suite": "standard"},
        {"nonce": bytes(12)},
        {"salt": bytes(16)},
        {"log2_n": 18},
        {"p": 2},
    ]
    for change in changes:
        quick.clear()
        with pytest.raises(InvalidKey, match=ONE_MESSAGE):
            keyfile.unseal(with_header(data, **change), PASSPHRASE)
        assert len(quick) == 1  # it was the tag that refused


@pytest.mark.parametrize(
    "change",
    [
        *({"log2_n": value} for value in (0, 1, 10, 14, 16, 21, 30, 63, -1, 2**63, "17", True, None, b"\x11")),
        *({"r": value} for value in (0, 1, 7, 9, 1 << 20, -8, None)),
        *({"p": value} for value in (0, 5, 1 << 30, -1, None)),
        *({"salt": value} for value in (b"", bytes(15), bytes(17), "x" * 16, None)),
        *({"nonce": value} for value in (b"", bytes(11), bytes(13), None)),
        *({"bits": value} for value in (0, 1024, 2049, 3072, 4096, 1 << 40, -2048, None)),
        *({"suite": value} for value in ("", "ou", 1, None)),
        *({"kdf": value} for value in ("none", "pbkdf2", "", None)),
        *({"cipher": value} for value in ("aes-128-gcm", "none", None)),
        *({"fingerprint": value} for value in (bytes(31), bytes(33), "", None)),
        *({"given_hs": value} for value in (True, 1, None)),
        {"more": 1},
    ],
    ids=repr,
)
def test_hostile_parameters_are_refused_before_any_work(quick, change):
    data = keyfile.seal(MATERIAL, PASSPHRASE)
    quick.clear()
    with pytest.raises(InvalidKey, match=ONE_MESSAGE):
        keyfile.unseal(with_header(data, **change), PASSPHRASE)
    assert quick == []


def test_given_hs_in_a_suite_without_hs_is_refused(quick):
    standard = keyfile.seal(keyfile.Material(2048, "standard", bytes(32), 3, 7), PASSPHRASE)
    quick.clear()
    with pytest.raises(InvalidKey, match=ONE_MESSAGE):
        keyfile.unseal(with_header(standard, given_hs=True), PASSPHRASE)
    assert quick == []


@given(st.binary(max_size=700))
def test_any_bytes_give_the_one_message(data):
    for start in (b"", b"BTK1\x01\x00\x03\x00"):
        with pytest.raises(InvalidKey, match=ONE_MESSAGE):
            keyfile.unseal(start + data, PASSPHRASE)


def test_truncated_and_extended_files_are_refused(quick):
    data = keyfile.seal(MATERIAL, PASSPHRASE)
    for length in range(len(data)):
        with pytest.raises(InvalidKey, match=ONE_MESSAGE):
            keyfile.unseal(data[:length], PASSPHRASE)
    for more in (b"\x00", data, bytes(8192)):
        with pytest.raises(InvalidKey, match=ONE_MESSAGE):
            keyfile.unseal(data + more, PASSPHRASE)


def test_too_little_memory_is_said_so(monkeypatch):
    data = with_header(keyfile.seal(MATERIAL, PASSPHRASE), log2_n=20)

    def derive(self, secret):
        raise MemoryError

    monkeypatch.setattr(sealed, "Scrypt", type("Scrypt", (), {"__init__": lambda self, **_: None, "derive": derive}))
    with pytest.raises(InvalidKey, match="needs 1024 MiB of memory"):
        keyfile.unseal(data, PASSPHRASE)


def test_two_files_of_one_key_share_nothing(quick):
    files = [frame.decode(keyfile.seal(MATERIAL, PASSPHRASE)) for _ in range(50)]
    for name in ("salt", "nonce"):
        assert len({file.header[name] for file in files}) == 50
    assert len({bytes(file.payload[:16]) for file in files}) == 50


@pytest.mark.parametrize("wrong", ["", b""])
def test_empty_passphrases_are_refused(quick, wrong):
    with pytest.raises(ValueError, match="passphrase is empty"):
        keyfile.seal(MATERIAL, wrong)
    with pytest.raises(ValueError, match="passphrase is empty"):
        keyfile.unseal(keyfile.seal(MATERIAL, "x"), wrong)


@pytest.mark.parametrize("wrong", [None, 7, ["a"], bytearray(b"x")])
def test_passphrases_of_other_types_are_refused(quick, wrong):
    with pytest.raises(TypeError, match="passphrase must be str or bytes"):
        keyfile.seal(MATERIAL, wrong)


def test_a_passphrase_that_is_no_text_is_not_quoted(quick):
    with pytest.raises(ValueError, match="surrogate") as caught:
        keyfile.seal(MATERIAL, "geheim\ud800")
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_composed_and_decomposed_text_are_one_passphrase(quick):
    composed, decomposed = (unicodedata.normalize(form, "Schlüssel für Zoë") for form in ("NFC", "NFD"))
    assert composed != decomposed
    data = keyfile.seal(MATERIAL, decomposed)
    assert keyfile.unseal(data, composed) == MATERIAL
    assert keyfile.unseal(data, composed.encode()) == MATERIAL
    with pytest.raises(InvalidKey, match=ONE_MESSAGE):
        keyfile.unseal(data, decomposed.encode())


def test_repr_shows_no_secret():
    assert repr(GIVEN) == "Material(bits=2048, suite='djn')"


def test_pipes_devices_and_huge_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    started = time.monotonic()
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null", tmp_path / "huge"):
        with pytest.raises(InvalidKey, match=ONE_MESSAGE):
            keyfile.read(path)
    assert time.monotonic() - started < 1


def test_a_folder_is_no_key_file(tmp_path):
    with pytest.raises(InvalidKey, match=ONE_MESSAGE):
        keyfile.read(tmp_path)
