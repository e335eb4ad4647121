"""Describes and tests this build: ``build_info``, ``selftest``, and the known answers that every import checks."""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import cryptography
import gmpy2
import msgpack  # type: ignore[import-untyped]
import numpy as np

from bluetusk import _parallel, _selftest_shares
from bluetusk._kernels import gmp_path
from bluetusk._kernels.modexp import BACKEND as _BACKEND
from bluetusk._kernels.modexp import COMPILER, Montgomery
from bluetusk._version import __version__
from bluetusk.encoding import FixedPoint
from bluetusk.errors import BluetuskError, FrameError, InvalidKey

_CHOSEN = os.environ.get("BLUETUSK_BACKEND", "")  # as the kernels read it: once, at import

__all__ = ["SelfTestResult", "build_info", "known_answer_test", "selftest"]

# Two primes made for this test and for nothing else: p = q = 3 mod 4, gcd(p - 1, q - 1) = 2.
_P = int(
    "e8def2efa99c3d7255214aeffab7ddf267eb57d2d37076b2c459cb277be6342f34bb7bc93fd94c72bdeb8a2647ec7d98e8cb613bdd81183b"
    "1c6a84ad574ab4026eab6d17adf041be27f9c44bd6e55c9ef3eea64138f3c8e0eeac490668f5e218bf3228e231f45388b573332261a34872"
    "a790b1d76be85f067f311fb676f4599b",
    16,
)
_Q = int(
    "e3efe523667a8fcf11c4b1deebbc559493b6da8304540b21a66c9b5ab73820f7bb165bbd5c04125539d444d39e6138097e33a588604f897e"
    "c488e4d354e7288de643ecb23e6fc736496670d2683c3f4bc77e08dedae5e1b469ff2b3c1998b9a948cf3910b415a9386023dd82e2f05003"
    "cf29714fc294447645d3cb1e7258407f",
    16,
)


class SelfTestResult(NamedTuple):
    """One passed test of :func:`selftest`: its name and how long it took, in seconds."""

    name: str
    seconds: float


def _cpu_flags() -> set[str]:
    """Return the flags that the Linux kernel lists for an x86-64 CPU: an answer independent of our own CPUID check."""
    if platform.machine() != "x86_64":  # an emulator of another machine may show its host's list
        return set()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _slow_backend() -> str:
    """Return which instructions of this CPU the build leaves unused; an empty string if none."""
    if _CHOSEN not in ("", "auto"):
        return ""
    flags = _cpu_flags()
    for name, needed, enough in (
        ("AVX-512 IFMA", {"avx512f", "avx512ifma"}, ("ifma",)),
        ("AVX2 and FMA", {"avx2", "fma"}, ("ifma", "fma")),
    ):
        if needed <= flags and _BACKEND not in enough:
            return (
                f"this CPU has {name}, but this build (by {COMPILER}) computes with the slower backend {_BACKEND!r}: "
                "install a wheel of this platform, or report it with the output of `bluetusk info`"
            )
    return ""


def build_info() -> dict[str, str | int | bool]:
    """Describe this build and what it runs on, for a bug report.

    Returns
    -------
    dict
        ``version``, ``compiler`` (of the kernels), ``backend`` (that of moduli of 1024 to 8192 bits), ``lanes``
        (elements it computes together), ``warning`` (which instructions of the CPU are left unused, else empty),
        ``gmp`` (GMP's version), ``gmp_path`` (the gmpy2 extension through which GMP is bound), ``threads``, ``python``,
        ``numpy``, ``gmpy2``, ``msgpack``, ``cryptography``, ``platform``, ``machine`` and ``audited`` (False: no
        external audit has taken place).

    Examples
    --------
    >>> import bluetusk as bt
    >>> bt.build_info()["backend"] in ("ifma", "fma", "mpn")
    True
    """
    mont = Montgomery((1 << 2048) - 1)  # of a size that every backend takes
    return {
        "version": __version__,
        "compiler": COMPILER,
        "backend": mont.backend,
        "lanes": mont.lanes,
        "warning": _slow_backend(),
        "gmp": gmpy2.mp_version().removeprefix("GMP "),
        "gmp_path": gmp_path(),
        "threads": _parallel.get_num_threads(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "gmpy2": gmpy2.version(),
        "msgpack": msgpack.__version__,
        "cryptography": cryptography.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "audited": False,
    }


def _expect(good: bool, what: str) -> None:
    if not good:
        raise BluetuskError(
            f"self-test failed: {what}. This build computes wrong results on this machine: do not use it; reinstall, "
            "and report it with the output of `bluetusk info` if it happens again"
        )


def known_answer_test() -> None:
    """Compare products, powers, an encoded row, random words and shares with plain integers; a few milliseconds.

    Runs at every import, so that a broken build or a faulty GMP is found before the first secret.

    Raises
    ------
    BluetuskError
        If an answer is wrong.

    Examples
    --------
    >>> from bluetusk._selftest import known_answer_test
    >>> known_answer_test()
    """
    for modulus, root in ((_P, None), (_P * _Q, None), ((_P * _Q) ** 2, None), ((_P * _Q) ** 2, _P * _Q)):
        mont = Montgomery(modulus, root)
        values = [pow(3, 200, modulus), pow(5, 300, modulus) * 7 % modulus]
        data = b"".join(value.to_bytes(mont.nbytes, "little") for value in values)
        canon = np.frombuffer(data, dtype=np.uint64).reshape(2, -1)
        exponents = np.array([[0xB0B0_0000_0000_0003], [0x8000_0000_0000_0001]], dtype=np.uint64)
        elements, products, powers, secret = (mont.empty(2) for _ in range(4))
        mont.load(elements, canon, 0, 2)
        mont.mul(products, elements, None, elements, np.array([1, 0]), 0, 2)
        mont.pow(powers, elements, None, exponents, 64, 0, 2)
        mont.pow_secret(secret, elements, None, exponents, 64, 0, 2)
        product = values[0] * values[1] % modulus
        power = [pow(value, int(e), modulus) for value, e in zip(values, exponents[:, 0], strict=True)]
        for results, expected in ((products, [product, product]), (powers, power), (secret, power)):
            out = np.zeros((2, mont.limbs), dtype=np.uint64)
            mont.store(out, results, None, 0, 2)
            _expect([int.from_bytes(row.tobytes(), "little") for row in out] == expected, "modular arithmetic")
    plan = FixedPoint()
    integers, clipped = plan.quantise(np.array([1.5, -0.25, 2.0**-21, 3 * 2.0**-21]))
    _expect(integers.tolist() == [3 << 19, -(1 << 18), 0, 2] and clipped == 0, "quantisation")
    _selftest_shares.known_answers(_expect)


def selftest() -> list[SelfTestResult]:
    """Run the package's own short tests on this machine, in about a second: encrypted arrays, shares, masks, noise.

    Returns
    -------
    list of SelfTestResult
        Name and duration of each test, all passed.

    Raises
    ------
    BluetuskError
        If a test fails; the message names it.

    Warns
    -----
    RuntimeWarning
        If the CPU has AVX-512 IFMA or AVX2, and this build does not use it.

    Examples
    --------
    >>> import bluetusk as bt
    >>> [result.name for result in bt.selftest()][:2]
    ['known answers', 'encrypt and decrypt']
    """
    # the parts above this file in the house: imported when needed
    from bluetusk.paillier import CipherArray, PrivateKey

    key: list[PrivateKey] = []
    values = np.linspace(-4, 4, 33)
    plan = FixedPoint()
    expected = np.rint(values * 2**20) / 2**20

    def encrypt_and_decrypt() -> None:
        key.append(PrivateKey(_P, _Q))
        for array in (key[0].public_key.encrypt(values, plan), key[0].encrypt(values, plan)):
            _expect(np.array_equal(key[0].decrypt(array), expected), "encrypt and decrypt")

    def packed() -> None:
        array = key[0].public_key.encrypt(values.reshape(1, -1), plan, packed=True)
        _expect(np.array_equal(key[0].decrypt(array + array), 2 * expected.reshape(1, -1)), "packed slots")

    def arithmetic() -> None:
        array = key[0].public_key.encrypt(np.arange(12).reshape(3, 4))
        matrix = np.array([[2, -1, 0], [1, 1, -3]])
        product = cast(CipherArray, matrix @ array)  # NumPy's stubs know nothing of __array_ufunc__
        _expect(np.array_equal(key[0].decrypt_integers(product), matrix @ np.arange(12).reshape(3, 4)), "matmul")

    def frames() -> None:
        array = key[0].public_key.encrypt(values, plan)
        data = bytearray(array.to_bytes())
        _expect(
            np.array_equal(key[0].decrypt(CipherArray.from_bytes(bytes(data), key[0].public_key)), expected), "frames"
        )
        data[3] ^= 1
        try:
            CipherArray.from_bytes(bytes(data), key[0].public_key)
        except FrameError:
            return
        _expect(False, "a damaged frame was accepted")

    def closing() -> None:
        array = key[0].public_key.encrypt(values, plan)
        key[0].close()
        try:
            key[0].decrypt(array)
        except InvalidKey:
            return
        _expect(False, "a closed key decrypted")

    tests: list[tuple[str, Callable[[], None]]] = [
        ("known answers", known_answer_test),
        ("encrypt and decrypt", encrypt_and_decrypt),
        ("packed slots", packed),
        ("linear algebra", arithmetic),
        ("frames", frames),
        ("a closed key refuses", closing),
        *((name, partial(test, _expect)) for name, test in _selftest_shares.TESTS),
    ]
    results = []
    for name, test in tests:
        start = time.perf_counter()
        test()
        results.append(SelfTestResult(name, time.perf_counter() - start))
    if warning := _slow_backend():
        warnings.warn(warning, RuntimeWarning, stacklevel=2)
    return results
