"""Bluetusk: a compiled kernel for computing on data that nobody may see.

Paillier arrays, batches of modular powers and federated sums at the speed of the hardware; see the README for ten
lines that work, and ``THREAT_MODEL.md`` for what is not protected.
"""

import sys


def _by_command() -> bool:
    """Return whether the command line runs this import: a failure is then one line, without a traceback."""
    # Both `bluetusk` and `python -m bluetusk` (whose argv[0] is "-m" until its module is found) import this package
    # before any code of the command line runs, so its promise of one line is kept here.
    program = "".join(sys.argv[:1])
    words = getattr(sys, "orig_argv", ["bluetusk"])  # CPython 3.9 does not have it
    return program.endswith("/bluetusk") or (program == "-m" and "bluetusk" in words)


# pip looks at the version; an older Python with a wheel or a checkout on its path does not. Old syntax, down to here.
if sys.version_info < (3, 10):  # noqa: UP036
    _old = "bluetusk needs CPython 3.10 or newer, and {} is {}.{}".format(sys.executable, *sys.version_info[:2])
    raise SystemExit("bluetusk: " + _old) if _by_command() else ImportError(_old)


def _refuse(told: Exception) -> None:
    """End the import, on the command line with one line, except for an error of this package's code."""
    if _by_command() and not isinstance(told, AttributeError):
        raise SystemExit(f"bluetusk: {told}") from None
    raise told from None


try:
    from bluetusk._requirements import explained, require_packages
    from bluetusk._version import __version__
    from bluetusk.errors import (
        BluetuskError,
        DataWarning,
        DecryptionError,
        EncodingOverflow,
        FrameError,
        InvalidCiphertext,
        InvalidKey,
        PolicyRefused,
        ProtocolAbort,
    )
except ImportError as _error:  # they import nothing but Python's own modules
    _refuse(
        ImportError(
            f"bluetusk is incomplete ({_error}): {sys.executable or 'python'} -m pip install --force-reinstall "
            "bluetusk (or the folder of a checkout)"
        )
    )

try:
    require_packages()
    from bluetusk._kernels import gmp_path

    gmp_path()  # before what takes names from gmpy2: a stub of it has none, and this says what to install
    from bluetusk import evidence, federated, integrations, modexp, paillier, sharing, vertical
    from bluetusk._parallel import set_num_threads
    from bluetusk._selftest import build_info, known_answer_test, selftest
    from bluetusk.encoding import FixedPoint
    from bluetusk.paillier import CipherArray, concatenate

    known_answer_test()
except (AttributeError, ImportError, BluetuskError) as _error:
    _refuse(explained(_error))

__all__ = [
    "BluetuskError",
    "CipherArray",
    "DataWarning",
    "DecryptionError",
    "EncodingOverflow",
    "FixedPoint",
    "FrameError",
    "InvalidCiphertext",
    "InvalidKey",
    "PolicyRefused",
    "ProtocolAbort",
    "__version__",
    "build_info",
    "concatenate",
    "evidence",
    "federated",
    "integrations",
    "modexp",
    "paillier",
    "selftest",
    "set_num_threads",
    "sharing",
    "vertical",
]
