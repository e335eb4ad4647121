"""Lists the compiled extensions; everything else is in pyproject.toml.

The compiler is that of CC, else Python's. A build for CPython 3.11 or newer uses the stable ABI of 3.11 (PEP 384), so
that one wheel serves all of them; the ABI of 3.10 lacks the buffer protocol, and free-threaded CPythons have no stable
ABI. docs/decisions/packaging.md has what was tried.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
from pathlib import Path

import gmpy2
from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = [
    "bt_cpu",
    "bt_gmp",
    "bt_modulus",
    "bt_mont",
    "bt_mont_mpn",
    "bt_mont_mpn_pairs",
    "bt_mont_fma",
    "bt_mont_fma_pairs",
    "bt_mont_ifma",
    "bt_mont_ifma_pairs",
    "bt_modexp",
    "bt_accumulate",
    "bt_batch",
    "bt_multiexp",
    "bt_sparse",
]
KERNELS = {
    "modexp": CORE,
    "paillier": [
        *CORE,
        "bt_secret",
        "bt_registers",
        "bt_paillier",
        "bt_paillier_key",
        "bt_paillier_decrypt",
        "bt_paillier_owner",
        "bt_paillier_roots",
    ],
    "straus": ["bt_straus", "bt_accumulate"],
    "pack": ["bt_pack"],
    "ring": ["bt_cpu", "bt_ring", "bt_ring_avx2"],
    "noise": ["bt_noise"],
    "field": ["bt_cpu", "bt_field", "bt_field_small", "bt_field_odd", "bt_field_gf256", "bt_field_avx2"],
}
WARNINGS = ["-Wall", "-Wextra"]
# gcc vectorises plain loops whose length it does not know at its third level only
LEVELS = {"ring": "-O3"}
# CFLAGS come before these: a level of optimisation that they name is left alone. Python's own flags may ask for debug
# information (-g), which costs a quarter of the build and most of a wheel's size.
CFLAGS = shlex.split(os.environ.get("CFLAGS", ""))
OPTIMISE = not any(flag.startswith("-O") for flag in CFLAGS)
DEBUG = [] if any(re.fullmatch(r"-g(\d|gdb\d?|dwarf.*)?", flag) for flag in CFLAGS) else ["-g0"]
COMPILER = [os.path.basename(word) for word in shlex.split(os.environ.get("CC", ""))]
STABLE_ABI = sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED")
MACROS = {
    "Py_LIMITED_API": "0x030B0000" if STABLE_ABI else None,
    "BT_ZIG": "1" if {"zig", "ziglang"} & set(COMPILER) else None,  # bt_compiler names it
}


def extension(name: str, sources: list[str]) -> Extension:
    """One extension per kernel, with the C it binds compiled in; GMP itself comes from gmpy2 at import."""
    return Extension(
        f"bluetusk._kernels.{name}",
        [f"src/bluetusk/_kernels/{name}.pyx", *(f"csrc/{source}.c" for source in sources)],
        include_dirs=["csrc", str(Path(gmpy2.__file__).parent)],
        define_macros=[(macro, value) for macro, value in MACROS.items() if value],
        py_limited_api=STABLE_ABI,
        extra_compile_args=[
            "-std=gnu17",
            *([LEVELS.get(name, "-O2")] if OPTIMISE else []),
            *DEBUG,
            "-fwrapv",  # as Python's own flags, which CFLAGS replace
            "-fvisibility=hidden",
            *WARNINGS,
        ],
        libraries=["dl"] if sys.platform.startswith("linux") else [],
        depends=[str(path) for path in Path("csrc").glob("*.h")],
    )


MODULES = [extension(name, sources) for name, sources in KERNELS.items()]

setup(
    # an sdist holds the sources: no C need be made for it
    ext_modules=MODULES
    if "sdist" in sys.argv
    else cythonize(
        MODULES,
        build_dir="build/cython",
        nthreads=0,
        force=bool(os.environ.get("BLUETUSK_FORCE_CYTHON")),
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False, "embedsignature": False},
    ),
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
