"""Checks what the package needs to run: other packages, not older than those tried, and its own compiled modules."""

from __future__ import annotations

import importlib
import platform
import re
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["OLDEST", "explained", "require_packages"]

OLDEST = {"numpy": "1.26", "gmpy2": "2.2", "msgpack": "1.2.1", "cryptography": "43"}
"""The oldest release of each package that this one imports; as in ``pyproject.toml``, which only pip reads."""

COMPILED = {"cryptography": "cryptography.exceptions"}
"""A module that loads the compiled code of a package which its own import leaves alone."""


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
        package = _imported(name, name)
        found = str(getattr(package, "__version__", ""))
        if _numbers(found) < _numbers(oldest):
            where = getattr(package, "__file__", None) or ", ".join(getattr(package, "__path__", []))
            raise ImportError(
                f"bluetusk needs {name} >= {oldest}, not {found or 'an unknown version'} "
                f"({f'at {where}' if where else 'a module without a file'}): "
                f'pip install --upgrade "{name}>={oldest}"'
            )
        if name in COMPILED:
            _imported(COMPILED[name], name)


def _imported(module: str, name: str) -> ModuleType:
    """Import a module of the package ``name``; any failure becomes one line, except a user's Ctrl-C."""
    try:
        return importlib.import_module(module)
    except BaseException as error:
        # a panic in Rust is a BaseException whose class cannot be imported
        if not isinstance(error, (Exception, SystemExit)) and type(error).__name__ != "PanicException":
            raise
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise ImportError(
                f'bluetusk needs {name} >= {OLDEST[name]}, which is not installed: pip install "{name}>={OLDEST[name]}"'
            ) from None
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> ImportError:
    """Return one line: NumPy explains a failed import on a page that ends in the cause."""
    kind = type(error).__name__
    cause = ([line.strip() for line in str(error).splitlines() if line.strip()] or [kind])[-1]
    if not isinstance(error, ImportError) and cause != kind:
        cause = f"{kind}: {cause}"
    return ImportError(
        f"{name}, which bluetusk needs, does not import ({cause}): "
        f'pip install --force-reinstall "{name}>={OLDEST[name]}"'
    )


def explained(error: Exception) -> Exception:
    """Return the reason why the import failed, with a remedy where a module is missing or does not load.

    Examples
    --------
    >>> print(explained(ImportError("wrong ELF class", name="bluetusk._kernels.modexp")))  # doctest: +ELLIPSIS
    bluetusk's compiled module _kernels/modexp does not load in ... (wrong ELF class): install ...
    """
    if isinstance(error, AttributeError):  # numpy.float64 of a stub of NumPy, say
        owner = str(getattr(error.obj, "__name__", "")) if isinstance(error.obj, ModuleType) else ""
    else:
        owner = (error.name or "") if isinstance(error, ImportError) else ""
    if owner.partition(".")[0] in OLDEST:
        return _broken(owner.partition(".")[0], error)
    if not isinstance(error, ImportError):
        return error
    folder = Path(__file__).with_name("_kernels")
    parent, _, module = owner.rpartition(".")
    # `from bluetusk._kernels import ring` names the package, and the module in its words only
    absent = re.match(r"cannot import name '(\w+)' from ", str(error)) if owner == "bluetusk._kernels" else None
    if absent and (folder / f"{absent[1]}.pyi").exists():
        parent, module = owner, absent[1]
    elif absent or (isinstance(error, ModuleNotFoundError) and re.match(r"bluetusk\.(?!_kernels\.)", owner)):
        return ImportError(
            f"bluetusk is incomplete ({error}): "
            f"{sys.executable or 'python'} -m pip install --force-reinstall bluetusk (or the folder of a checkout)"
        )
    if parent != "bluetusk._kernels" and (
        not error.path or Path(error.path).parent != folder
    ):  # dlopen's has a short name
        return error
    here = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform} {platform.machine()}"
    if absent or isinstance(error, ModuleNotFoundError):
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
