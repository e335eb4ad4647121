"""Tests shares, masks and noise against published answers where there are some, elsewhere against plain Python."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from bluetusk._random import Stream
from bluetusk.encoding import FixedPoint
from bluetusk.errors import ProtocolAbort

__all__ = ["TESTS", "known_answers"]

Expect = Callable[[bool, str], None]

# AES-256 under a key of zeros, counters 0, 1, 2: H of test case 13, its tag, and the ciphertext of test case 14 in
# D. McGrew, J. Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B
_KEY_STREAM = "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738bcea7403d4d606b6e074ec5d3baf39d18"
_SEED = bytes(range(32))
# What the samplers make of the stream of that seed: a function of the law and of the stream alone, on every machine.
_SAMPLES = {
    ("gaussian", 9): [4, -2, 5, 1, 3, 3, 1, 1, 0, -1, -3, 5],
    ("skellam", 9): [4, -2, 5, 1, 3, 2, 1, 1, 0, -1, -3, 5],
    ("gaussian", 1 << 40): [1390599, 322520, 247141, -412244, -1649044, 1067678, 903203, 306796, -814446, -680793],
}


def known_answers(expect: Expect) -> None:
    """Compare the bulk generator and the kernels of shares with fixed answers; under a millisecond, at every import.

    On one thread: an import must not depend on the environment's number of threads.
    """
    expect(Stream(bytes(32)).bytes(48).hex() == _KEY_STREAM, "AES-256-CTR")
    _additive(expect)
    _shamir(expect)


def _additive(expect: Expect) -> None:
    from bluetusk.sharing import ring

    for bits in (32, 64):
        dtype = np.dtype(f"uint{bits}")
        x = [0, 1, 2 ** (bits - 1), 2**bits - 1]
        shares = ring.share(np.array(x, dtype), 3, bits, threads=1)
        expect([sum(column) % 2**bits for column in shares.T.tolist()] == x, "additive shares")
        expect(ring.reconstruct(shares, threads=1).tolist() == x, "additive shares")
        rows, columns = [[2 ** (bits - 1) + 1, 3], [5, 2**bits - 7]], [[11, 2**bits - 13], [2**17 + 1, 19]]
        product = [[sum(row[k] * columns[k][j] for k in (0, 1)) % 2**bits for j in (0, 1)] for row in rows]
        expect(
            ring.matmul(np.array(rows, dtype), np.array(columns, dtype), threads=1).tolist() == product,
            "a product of shares",
        )


def _times(a: int, b: int) -> int:
    """Multiply in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, bit by bit (FIPS 197, section 4.2); of public numbers."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << bit - 8
    return product


def _shamir(expect: Expect) -> None:
    from bluetusk.sharing import reconstruct_bytes, shamir

    prime = 2**61 - 1
    secrets, slopes, bends = [0, 1, prime - 1], [prime - 2, 2**60, 12345], [7, prime - 1, 2**59]
    ids = [2, 5, 9, 11, 200]
    shares = [[(s + a * i + b * i * i) % prime for s, a, b in zip(secrets, slopes, bends, strict=True)] for i in ids]
    expect(shamir.reconstruct(shares, ids, 3, threads=1).tolist() == secrets, "Shamir's shares")
    shares[3][1] = (shares[3][1] + 1) % prime
    try:
        shamir.reconstruct(shares, ids, 3, threads=1)
    except ProtocolAbort as error:
        expect("the share of party 11 is wrong" in str(error), "a wrong share was not named")
    else:
        expect(False, "a wrong share was accepted")
    expect(_times(0x57, 0x83) == 0xC1, "GF(2^8)")  # FIPS 197, section 4.2
    table = [[_times(0x57, i) ^ _times(0x83, _times(i, i)) ^ s for s in (0, 0x53, 0xFF)] for i in (1, 2, 77)]
    secret = reconstruct_bytes(np.array(table, np.uint8), [1, 2, 77], 3, threads=1).tolist()
    expect(secret == [0, 0x53, 0xFF], "shares of bytes")


def _shares(expect: Expect) -> None:
    from bluetusk.sharing import beaver, reconstruct_keys, ring, shamir, share_keys

    values = np.arange(-500, 500)
    expect(ring.reconstruct(ring.share(values, 3), signed=True).tolist() == values.tolist(), "additive shares")
    x, y = (ring.share(v, 2) for v in (values, values[::-1]))
    product = ring.reconstruct(beaver.multiply(x, y, beaver.triple(values.shape, 2)), signed=True)
    expect(product.tolist() == (values * values[::-1]).tolist(), "a product by triples")
    secrets = np.arange(1000, dtype=np.uint64)
    for prime in (2**31 - 1, 2**61 - 1, 2**64 - 2**32 + 1, (2**64 - 28) * 2**64 + 1):
        rows = shamir.share(secrets.tolist(), 4, 6, prime)
        expect(shamir.reconstruct(rows[[5, 0, 3, 2]], [6, 1, 4, 3], 4, prime).tolist() == secrets.tolist(), "Shamir")
    keys = [_SEED, bytes(32)]
    expect(reconstruct_keys(share_keys(keys, 3, 5)[1:4], [2, 3, 4], 3, 32) == keys, "shares of keys")


def _masks(expect: Expect) -> None:
    """Masks cancel, and what is left is the sum of those that stay: a round of four clients, one of which vanishes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from bluetusk.federated import secagg
    from bluetusk.federated.secagg.masks import apply

    words = np.zeros(1000, np.uint32)
    apply(words, [(bytes([i]) * 32, add) for i in range(40) for add in (True, False)])
    expect(not words.any(), "masks do not cancel")
    names = ["a", "b", "c", "d"]
    keys = {name: Ed25519PrivateKey.generate() for name in names}
    server_key = Ed25519PrivateKey.generate()
    session = secagg.Session(
        secagg.plan(4, 0.25, 0.25),
        FixedPoint.integers(limit=1000, max_weight=4),
        100,
        {name: (key.public_key().public_bytes_raw(), 1) for name, key in keys.items()},
        server_key.public_key().public_bytes_raw(),
    )
    clients = {name: secagg.Client(session, name, key) for name, key in keys.items()}
    values = {name: 10 * np.arange(100) * (-1) ** i for i, name in enumerate(names)}
    server = secagg.Server(session, 0, server_key)
    for name, client in clients.items():
        for message in client.start(0, values[name]):
            expect(bool(server.step(message)), "secure aggregation")
    while not server.last:
        for name, message in server.advance().items():
            for answer in clients[name].step(message):
                if (name, server.phase) != ("d", "masked"):
                    expect(bool(server.step(answer)), "secure aggregation")
    result = server.finish()
    expect(result.clients == ("a", "b", "c"), "secure aggregation")
    expect(result.integers.tolist() == values["a"].tolist(), "secure aggregation")


def _noise(expect: Expect) -> None:
    from bluetusk.federated.noise.laws import Gaussian, Skellam
    from bluetusk.federated.noise.sampler import Sampler

    for (law, variance), samples in _SAMPLES.items():
        out = np.empty(len(samples), np.int64)
        Sampler((Gaussian if law == "gaussian" else Skellam)(Fraction(variance))).fill(out, Stream(_SEED))
        expect(out.tolist() == samples, f"{law} noise")


TESTS: list[tuple[str, Callable[[Expect], None]]] = [
    ("shares", _shares),
    ("masks and secure aggregation", _masks),
    ("noise", _noise),
]
