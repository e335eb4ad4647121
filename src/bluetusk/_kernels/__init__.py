"""Compiled kernels: one extension for each header in ``csrc``; types, buffers and errors, no algorithm."""

from __future__ import annotations

import sys

__all__ = ["gmp_path"]


def gmp_path() -> str:
    """Return the file of gmpy2's extension module, through which the kernels find the GMP that is already loaded.

    Returns
    -------
    str
        Path of a shared object that depends on libgmp.

    Raises
    ------
    ImportError
        If gmpy2 has no extension file.
    """
    import gmpy2

    for name in ("gmpy2.gmpy2", "gmpy2"):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path and not path.endswith((".py", ".pyc")):
            return str(path)
    raise ImportError(
        f"gmpy2 at {gmpy2.__file__} has no extension module: "
        'pip install --force-reinstall --only-binary gmpy2 "gmpy2>=2.2"'
    )
