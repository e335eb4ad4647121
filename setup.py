"""Lists the compiled extensions; everything else is in pyproject.toml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gmpy2
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = [
    "bt_gmp",
    "bt_modulus",
    "bt_mont",
    "bt_mont_mpn",
    "bt_mont_fma",
    "bt_mont_ifma",
    "bt_modexp",
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
    ],
    "straus": ["bt_straus", "bt_batch"],
    "pack": ["bt_pack"],
    "ring": ["bt_ring", "bt_ring_avx2"],
    "noise": ["bt_noise"],
    "field": ["bt_field", "bt_field_small", "bt_field_odd", "bt_field_gf256", "bt_field_avx2"],
}
# gcc vectorises plain loops, at the second level of optimisation, only where their length is known
FLAGS = {"ring": ["-ftree-vectorize", "-fvect-cost-model=dynamic"]}
WARNINGS = ["-Wall", "-Wextra"]
# CFLAGS come before these: a level of optimisation that they name is left alone. Python's own flags may ask for debug
# information (-g), which costs a quarter of the build and most of a wheel's size.
OPTIMISE = [] if "-O" in os.environ.get("CFLAGS", "") else ["-O2"]
DEBUG = [] if "-g" in os.environ.get("CFLAGS", "") else ["-g0"]


def extension(name: str, sources: list[str]) -> Extension:
    """One extension per kernel, with the C it binds compiled in; GMP itself comes from gmpy2 at import."""
    return Extension(
        f"bluetusk._kernels.{name}",
        [f"src/bluetusk/_kernels/{name}.pyx", *(f"csrc/{source}.c" for source in sources)],
        include_dirs=["csrc", str(Path(gmpy2.__file__).parent), numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-std=gnu17", *OPTIMISE, *DEBUG, *FLAGS.get(name, []), "-fvisibility=hidden", *WARNINGS],
        libraries=["dl"] if sys.platform.startswith("linux") else [],
        depends=[str(path) for path in Path("csrc").glob("*.h")],
    )


setup(
    ext_modules=cythonize(
        [extension(name, sources) for name, sources in KERNELS.items()],
        build_dir="build/cython",
        nthreads=0,
        force=bool(os.environ.get("BLUETUSK_FORCE_CYTHON")),
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False, "embedsignature": False},
    )
)
