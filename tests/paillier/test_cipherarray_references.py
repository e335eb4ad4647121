"""Arithmetic on encrypted arrays is exact: equal to plain Python ints and to phe, whatever the number of threads."""

from __future__ import annotations

import io

import gmpy2
import numpy as np
import phe
import pytest

from bluetusk.encoding import FixedPoint
from bluetusk.paillier import PrivateKey, encrypting
from bluetusk.paillier.array import CipherArray, encrypt, encrypt_integers

decrypt, ints_of = PrivateKey.decrypt, PrivateKey.decrypt_integers

SMALL = FixedPoint.integers(limit=1000)
rng = np.random.default_rng(7)


def numbers(c: CipherArray) -> list[gmpy2.mpz]:
    """Return the ciphertexts as they are."""
    return [gmpy2.mpz(int.from_bytes(row.tobytes(), "little")) for row in encrypting.canonical(c)]


def test_results_do_not_depend_on_threads(priv, monkeypatch):
    from bluetusk import _parallel

    c = encrypt(priv, rng.integers(-1000, 1000, 64), SMALL)[np.arange(1500) % 64]
    k = rng.integers(-(2**30), 2**30, 1500)
    m = rng.integers(-100, 100, (3, 1500))
    codes = rng.integers(0, 7, 1500)
    results = []
    for threads in (1, 2, 3, 4):
        monkeypatch.setattr(_parallel, "_num_threads", threads)
        parts = (c[:200] * k[:200], c.sum(), c.bincount(codes, 7), m @ c, -c, c + k, c - c[::-1])
        results.append([numbers(part) for part in parts])
    assert results[0] == results[1] == results[2] == results[3]


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (1025, ValueError), ("2", TypeError), (2.0, TypeError)]
)
def test_threads_are_checked_everywhere(pub, priv, threads, error):
    c = encrypt(pub, [[1, 2]], SMALL)
    data = c.to_bytes()
    for array in (c, c[:0]):
        for use in (
            lambda a: a.sum(threads=threads),
            lambda a: a.sum(1, threads=threads),
            lambda a: a.bincount([0] * len(a), 1, threads=threads),
            lambda a: a.to_bytes(threads=threads),
            lambda a: a.write_to(io.BytesIO(), threads=threads),
            lambda a: CipherArray.from_bytes(data, pub, threads=threads),
            lambda a: CipherArray.read_from(io.BytesIO(data), pub, threads=threads),
            lambda a: decrypt(priv, a, threads=threads),
            lambda a: encrypt(pub, np.zeros(a.shape), threads=threads),
        ):
            with pytest.raises(error, match="threads must be"):
                use(array)


def test_ciphertexts_equal_python_ints(priv):
    """10^5 element operations against products, powers and inverses of plain integers."""
    base = encrypt(priv, rng.integers(-1000, 1000, 40), SMALL)
    n2 = priv.public_key.nsquare
    v = numbers(base)
    i, j = rng.integers(0, 40, (2, 40_000))
    assert numbers(base[i] + base[j]) == [v[a] * v[b] % n2 for a, b in zip(i, j, strict=True)]
    inverse = [gmpy2.invert(u, n2) for u in v]
    i, j = i[:10_000], j[:10_000]
    assert numbers(base[i] - base[j]) == [v[a] * inverse[b] % n2 for a, b in zip(i, j, strict=True)]
    assert numbers(-base[i]) == [inverse[a] for a in i]
    codes = rng.integers(0, 16, 40_000)
    i = rng.integers(0, 40, 40_000)
    bins = [gmpy2.mpz(1)] * 16
    for a, code in zip(i, codes, strict=True):
        bins[code] = bins[code] * v[a] % n2
    assert numbers(base[i].bincount(codes, 16)) == bins
    k = rng.integers(-40, 40, 1000)
    i = i[:1000]
    assert numbers(base[i] * k) == [gmpy2.powmod(v[a], int(e), n2) for a, e in zip(i, k, strict=True)]
    n = int(priv.public_key.n)
    a = rng.integers(-(2**62), 2**62, 10_000)
    i = rng.integers(0, 40, 10_000)
    assert numbers(base[i] + a) == [v[b] * (1 + int(e) * n) % n2 for b, e in zip(i, a, strict=True)]


def test_agrees_with_phe_on_200_values(pub, priv):
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    their_pub = phe.PaillierPublicKey(int(pub.n))
    their_priv = phe.PaillierPrivateKey(their_pub, p, q)
    x = rng.integers(-1000, 1000, 200)
    c = encrypt(pub, x, SMALL)
    n = int(pub.n)
    theirs = [their_priv.raw_decrypt(int(u)) for u in numbers(c * 3 - x[::-1])]
    assert [u if u < n // 2 else u - n for u in theirs] == (3 * x - x[::-1]).tolist()
    raw = [their_pub.raw_encrypt(int(v) % n) for v in x[:60]]
    canon = np.frombuffer(b"".join(u.to_bytes(512, "little") for u in raw), dtype=np.uint64).reshape(60, 64)
    words = c._mont.empty(60)
    c._mont.load(words, canon, 0, 60)
    ours = c[:60]._derive(words, np.arange(60), bound=1000)
    assert np.array_equal(ints_of(priv, ours + c[:60]), 2 * x[:60])


def test_a_thousand_full_size_values_against_python_and_phe(priv):
    """M18 at full size: messages up to n/4, formulas on Python ints, and phe's decryption of what we encrypted."""
    pub, count = priv.public_key, 1000
    n, n2 = int(pub.n), int(pub.nsquare)
    p, q = (int.from_bytes(prime, "little") for prime in priv._kernel.export_primes())
    raw = np.random.default_rng(18).bytes(2 * count * 264)
    drawn = [int.from_bytes(raw[i : i + 264], "little") % (n // 2 - 3) - (n // 4 - 2) for i in range(0, len(raw), 264)]
    m, a = drawn[:count], drawn[count:]
    bound = n // 4 - 1
    c = encrypt_integers(priv, np.array(m, dtype=object), SMALL, frac=0, bound=bound)
    v = numbers(c)
    theirs = phe.PaillierPrivateKey(phe.PaillierPublicKey(n), p, q)
    assert [theirs.raw_decrypt(int(u)) for u in v] == [x % n for x in m]
    assert numbers(c + c[::-1]) == [x * y % n2 for x, y in zip(v, v[::-1], strict=True)]
    assert numbers(c - c[::-1]) == [x * gmpy2.invert(y, n2) % n2 for x, y in zip(v, v[::-1], strict=True)]
    shifted = c + np.array(a, dtype=object)
    assert numbers(shifted) == [x * (1 + y * n) % n2 for x, y in zip(v, a, strict=True)]
    got = ints_of(priv, shifted)
    assert got.dtype == object
    assert got.tolist() == [x + y for x, y in zip(m, a, strict=True)]
    small = encrypt_integers(priv, np.array([3, -2] * 20), SMALL, frac=0, bound=3)
    u = numbers(small)
    wide = [x // 4 for x in a[:40]]
    products = small * np.array(wide, dtype=object)
    assert numbers(products) == [gmpy2.powmod(x, e, n2) for x, e in zip(u, wide, strict=True)]
    assert ints_of(priv, products).tolist() == [k * e for k, e in zip([3, -2] * 20, wide, strict=True)]
