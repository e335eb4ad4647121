"""Bluetusk: a compiled kernel for computing on data that nobody may see.

Paillier arrays, batches of modular powers and federated sums at the speed of the hardware; see the README for ten
lines that work and ``THREAT_MODEL.md`` for what is not protected.
"""

import sys

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

try:
    from bluetusk import evidence, federated, integrations, modexp, paillier, sharing, vertical
    from bluetusk._parallel import set_num_threads
    from bluetusk._selftest import build_info, known_answer_test, selftest
    from bluetusk.encoding import FixedPoint
    from bluetusk.paillier import CipherArray, concatenate

    known_answer_test()
except (ImportError, BluetuskError) as _error:
    # Both `bluetusk` and `python -m bluetusk` (whose argv[0] is "-m" until its module is found) import this package
    # before any code of the command line runs, so its promise of one line without a traceback is kept here.
    _program = "".join(sys.argv[:1])
    if _program.endswith("/bluetusk") or (_program == "-m" and "bluetusk" in sys.orig_argv):
        raise SystemExit(f"bluetusk: {_error}") from None
    raise

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
