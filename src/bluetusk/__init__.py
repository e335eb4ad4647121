"""Bluetusk: a compiled kernel for computing on data that nobody may see.

Paillier arrays, batches of modular powers and federated sums at the speed of the hardware; see the README for ten
lines that work and ``THREAT_MODEL.md`` for what is not protected.
"""

from bluetusk import federated, modexp, paillier
from bluetusk._parallel import set_num_threads
from bluetusk._selftest import build_info, known_answer_test, selftest
from bluetusk._version import __version__
from bluetusk.encoding import FixedPoint
from bluetusk.errors import (
    BluetuskError,
    DecryptionError,
    EncodingOverflow,
    FrameError,
    InvalidCiphertext,
    InvalidKey,
    ProtocolAbort,
)
from bluetusk.paillier import CipherArray, concatenate

__all__ = [
    "BluetuskError",
    "CipherArray",
    "DecryptionError",
    "EncodingOverflow",
    "FixedPoint",
    "FrameError",
    "InvalidCiphertext",
    "InvalidKey",
    "ProtocolAbort",
    "__version__",
    "build_info",
    "concatenate",
    "federated",
    "modexp",
    "paillier",
    "selftest",
    "set_num_threads",
]

known_answer_test()
