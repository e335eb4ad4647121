"""Published vectors: Prio3's shares over the fields of VDAF, Google's Shamir shares and key stream."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bluetusk._random import Stream
from bluetusk.sharing import shamir
from bluetusk.sharing._field import field_of

VECTORS = Path(__file__).parents[1] / "vectors"
VDAF = json.loads((VECTORS / "vdaf_sharing.json").read_text())
GOOGLE = json.loads((VECTORS / "google_secagg.json").read_text())


def decode(field, text):
    """A share as the draft encodes it: elements little-endian, end to end, of the field's own size."""
    raw = np.frombuffer(bytes.fromhex(text), field.dtype.newbyteorder("<")).astype(field.dtype)
    elements = raw.reshape(-1, *field.tail)
    assert field.kernel.canonical(elements)
    return elements


def total(field, shares):
    out = shares[0].copy()
    for share in shares[1:]:
        field.kernel.add(out, share, out)
    return field.to_ints(out)


@pytest.mark.parametrize("case", VDAF["cases"], ids=[case["name"] for case in VDAF["cases"]])
def test_shares_of_prio3_add_up(case):
    field = field_of(VDAF["fields"][str(case["field"])]["modulus"])
    result = case["agg_result"] if isinstance(case["agg_result"], list) else [case["agg_result"]]
    assert total(field, [decode(field, share) for share in case["agg_shares"]]) == result
    sums = [0] * len(result)
    for report in case["reports"]:
        opened = total(field, [decode(field, share) for share in report["out_shares"]])
        measurement = report["measurement"]
        if isinstance(measurement, list):
            assert opened == [int(v) for v in measurement]
        elif len(result) == 1:
            assert opened == [int(measurement)]
        else:  # a histogram: the bucket's number
            assert opened == [int(i == measurement) for i in range(len(result))]
        sums = [a + b for a, b in zip(sums, opened, strict=True)]
    assert sums == result


@pytest.mark.parametrize("bits", ["64", "128"])
def test_generators_and_transforms_of_vdaf(bits):
    """The generator's order is as stated; a transform at the 16th roots of unity and back, by matrices of powers."""
    told = VDAF["fields"][bits]
    p, log, generator = told["modulus"], told["generator_of_order_2_to"], told["generator"]
    field = field_of(p)
    x = field.from_ints([generator])
    roots = []
    for _ in range(log):
        roots.append(field.to_ints(x)[0])
        field.kernel.mul(x, x, x)
    assert field.to_ints(x) == [1]
    assert roots[-1] == p - 1
    root = roots[log - 4]
    points = tuple(pow(root, i, p) for i in range(16))
    assert len(set(points)) == 16
    assert points[8] == p - 1
    coefficients = [(i * 0x9E3779B97F4A7C15F39CC0605CEDC834) % p for i in range(16)]
    values = field.product(field.powers(points, 16), field.from_ints(coefficients).reshape(16, 1, *field.tail))
    assert field.to_ints(values) == [sum(c * pow(at, j, p) for j, c in enumerate(coefficients)) % p for at in points]
    inverse = field.powers(tuple(pow(at, -1, p) for at in points), 16)
    back = field.to_ints(field.product(inverse, values))
    assert back == [16 * c % p for c in coefficients]


def test_googles_precomputed_shares():
    """Two elements to a share, big-endian; the secret of four bytes is read from the last of them on, 31 bits each."""
    told = GOOGLE["shamir"]
    shares = np.array(told["shares"], np.uint8).view(">u4").astype(np.uint64)
    for ids in ([1, 2, 3], [2, 4, 5], [1, 2, 3, 4, 5]):
        rows = shares[[i - 1 for i in ids]]
        high, low = shamir.reconstruct(rows, ids, told["threshold"], told["prime"]).tolist()
        assert ((high << 31) + low).to_bytes(4, "big") == bytes(told["secret"])
    shares[3, 1] += np.uint64(1)
    assert shamir.correct(shares, range(1, 6), told["threshold"], told["prime"])[1] == [4]


def test_googles_key_stream():
    """Its test's key, and its way to read a 64-bit number; the expected bytes are AES-256's own, counter from 0."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key, iv = (bytes.fromhex(GOOGLE["aes_ctr"][name]) for name in ("key", "iv"))
    stream = Stream(key)
    whole = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(bytes(1024))
    assert stream.bytes(512) == whole[:512]
    assert stream.uint64(64).tolist() == [int.from_bytes(whole[i : i + 8], "little") for i in range(512, 1024, 8)]
