"""Checks what the package needs to run: other packages, not older than those tried, and its own compiled modules."""

from __future__ import annotations

import importlib
import platform
import re
import sys
from pathlib import Path

__all__ = ["OLDEST", "explained", "require_packages"]

OLDEST = {"numpy": "1.26", "gmpy2": "2.2", "msgpack": "1.2.1", "cryptography": "43"}
"""The oldest release of each package that this one imports; as in ``pyproject.toml``, which only pip reads."""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def require_packages() -> None:
    """Import the packages that everything rests on, and compare their versions with the oldest that works.

    Raises
    ------
    ImportError
        Naming the package that is missing, broken or too old, and the command that installs it.

    Examples
    --------
    >>> require_packages()
    """
    for name, oldest in OLDEST.items():
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                raise ImportError(
                    f'bluetusk needs {name} >= {oldest}, which is not installed: pip install "{name}>={oldest}"'
                ) from None
            raise _broken(name, error) from error
        except ImportError as error:
            raise _broken(name, error) from error
        found = str(getattr(package, "__version__", ""))
        if _numbers(found) < _numbers(oldest):
            where = getattr(package, "__file__", None) or ", ".join(package.__path__)
            raise ImportError(
                f"bluetusk needs {name} >= {oldest}, not {found or 'an unknown version'} (at {where}): "
                f'pip install --upgrade "{name}>={oldest}"'
            )


def _broken(name: str, error: ImportError) -> ImportError:
    """Return one line: NumPy explains a failed import on a page that ends in the cause."""
    cause = ([line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1]
    return ImportError(
        f"{name}, which bluetusk needs, does not import ({cause}): "
        f'pip install --force-reinstall "{name}>={OLDEST[name]}"'
    )


def explained(error: Exception) -> Exception:
    """Return what ended the package's import, with a remedy where a compiled module is missing or does not load.

    Examples
    --------
    >>> print(explained(ImportError("wrong ELF class", name="bluetusk._kernels.modexp")))  # doctest: +ELLIPSIS
    bluetusk's compiled module _kernels/modexp does not load in ... (wrong ELF class): install ...
    """
    if not isinstance(error, ImportError):
        return error
    folder = Path(__file__).with_name("_kernels")
    parent, _, module = (error.name or "").rpartition(".")
    if parent != "bluetusk._kernels" and (
        not error.path or Path(error.path).parent != folder
    ):  # dlopen's has a short name
        return error
    here = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform} {platform.machine()}"
    if isinstance(error, ModuleNotFoundError):
        files = sorted(path.name for path in folder.glob(f"{module}.*.so")) or [f"no {module}.*.so"]
        problem = f"is missing for {here}: {folder} has {', '.join(files)}; "
    else:
        cause = " ".join(str(error).split())
        if cause.endswith("No such file or directory") and error.path and Path(error.path).exists():
            cause = f"{error.path} does not open, but it is there: it was built for another machine"
        problem = f"does not load in {here} ({cause}): "
    return ImportError(
        f"bluetusk's compiled module _kernels/{module} {problem}install bluetusk with this interpreter: "
        f"{sys.executable or 'python'} -m pip install --force-reinstall bluetusk (or the folder of a checkout)",
        name=error.name,
        path=error.path,
    )
