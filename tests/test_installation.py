"""Installations that lack something: an import says in one line what, and how to get it. And one that is read-only."""

from __future__ import annotations

import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cryptography
import gmpy2
import pytest

import bluetusk
from bluetusk._requirements import OLDEST

ROOT = Path(__file__).parents[1]
PACKAGE = Path(bluetusk.__file__).parent
PYTHON = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform} {platform.machine()}"


def run(code: str | Sequence[str], site: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code, or the command line's `arguments`, with the packages of a folder in front of all others."""
    words = ["-c", code] if isinstance(code, str) else ["-m", "bluetusk", *code]
    path = os.pathsep.join(filter(None, [site and str(site), *sys.path]))
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
        timeout=120,
    )


def refusal(site: Path | None = None, before: str = "", **env: str) -> str:
    """Return what an import is refused with; it must be one line, the same from the command line."""
    code = f"{before}\ntry:\n    import bluetusk\nexcept ImportError as error:\n    print(error, end='')"
    done = run(code, site, **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout, "imported"
    assert "\n" not in done.stdout
    if not before:
        told = run(["info"], site, **env)
        assert (told.returncode, told.stdout, told.stderr) == (1, "", f"bluetusk: {done.stdout}\n")
    return done.stdout


def refused_alone(site: Path) -> str:
    """Return what the command line is refused with, without its name: half the time of `refusal`."""
    told = run(["info"], site)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    return told.stderr.removeprefix("bluetusk: ").removesuffix("\n")


def package(site: Path, name: str, text: str) -> Path:
    """Put a package of one file into a folder."""
    (site / name).mkdir(parents=True)
    (site / name / "__init__.py").write_text(text)
    return site


def copy(site: Path) -> Path:
    """Copy the installed package, as a wheel brings it, into a folder; return where the compiled modules are."""
    shutil.copytree(PACKAGE, site / "bluetusk", ignore=shutil.ignore_patterns("__pycache__", "*.pyx", "*.pxd"))
    return site / "bluetusk" / "_kernels"


# --- the interpreter


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 8, 18), (2, 99, 0)])
def test_an_old_python_is_named_before_anything_else_is_read(version: tuple[int, int, int]) -> None:
    before = f"import sys\nsys.version_info = {version}"
    told = refusal(before=before)
    assert told == f"bluetusk needs CPython 3.10 or newer, and {sys.executable} is {version[0]}.{version[1]}"
    code = (
        f"{before}\ntry:\n    import bluetusk\nexcept ImportError:\n    print([m for m in sys.modules if 'bluet' in m])"
    )
    assert run(code).stdout == "[]\n"
    done = run(f"{before}\nsys.argv = ['/bin/bluetusk']\nimport bluetusk")
    assert (done.returncode, done.stderr) == (1, f"bluetusk: {told}\n")


def test_what_an_old_python_reads_is_old_syntax() -> None:
    source = (PACKAGE / "__init__.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    assert source.index("sys.version_info <") < re.search("^ *(from|import) +bluetusk", source, re.M).start()


# --- the packages under it


def test_the_oldest_releases_are_those_that_pip_reads() -> None:
    found = re.search(r"^dependencies = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.M)
    assert found
    assert sorted(ast.literal_eval(found[1])) == sorted(f"{name}>={oldest}" for name, oldest in OLDEST.items())


@pytest.mark.parametrize("name", OLDEST)
def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, name: str) -> None:
    package(tmp_path, name, f'raise ModuleNotFoundError("No module named {name}", name="{name}")')
    told = refusal(tmp_path)
    assert (
        told == f'bluetusk needs {name} >= {OLDEST[name]}, which is not installed: pip install "{name}>={OLDEST[name]}"'
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [("numpy", "1.25.2"), ("gmpy2", "2.1.5"), ("msgpack", "1.2.0"), ("msgpack", "0.6"), ("cryptography", "42.0.8")],
)
def test_an_old_package_is_named_with_its_remedy(tmp_path: Path, name: str, found: str) -> None:
    package(tmp_path, name, f"__version__ = {found!r}")
    assert refusal(tmp_path) == (
        f"bluetusk needs {name} >= {OLDEST[name]}, not {found} (at {tmp_path / name / '__init__.py'}): "
        f'pip install --upgrade "{name}>={OLDEST[name]}"'
    )


def test_a_package_without_a_version_is_refused(tmp_path: Path) -> None:
    package(tmp_path, "msgpack", "")
    assert "bluetusk needs msgpack >= 1.2.1, not an unknown version (at " in refusal(tmp_path)


def test_a_broken_package_is_named_with_the_cause(tmp_path: Path) -> None:
    page = (
        "\\n\\nIMPORTANT: PLEASE READ THIS\\n\\nOriginal error was: No module named 'numpy._core._multiarray_umath'\\n"
    )
    package(tmp_path, "numpy", f'raise ImportError("{page}")')
    assert refusal(tmp_path) == (
        "numpy, which bluetusk needs, does not import (Original error was: No module named "
        "'numpy._core._multiarray_umath'): pip install --force-reinstall \"numpy>=1.26\""
    )


@pytest.mark.parametrize("name", OLDEST)
@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("raise RuntimeError('module compiled against ABI 1')", "RuntimeError: module compiled against ABI 1"),
        ("None.real", "AttributeError: 'NoneType' object has no attribute 'real'"),
        ("raise ValueError('numpy.dtype size changed')", "ValueError: numpy.dtype size changed"),
        ("raise OSError(5, 'Input/output error')", "OSError: [Errno 5] Input/output error"),
        ("raise SystemExit", "SystemExit"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class PanicException(BaseException): ...\nraise PanicException('a panic')", "PanicException: a panic"),
    ],
)
def test_whatever_ends_the_import_of_a_package_is_one_line(tmp_path: Path, name: str, text: str, cause: str) -> None:
    check = refusal if name == "msgpack" else refused_alone
    assert check(package(tmp_path, name, text)) == (
        f"{name}, which bluetusk needs, does not import ({cause}): "
        f'pip install --force-reinstall "{name}>={OLDEST[name]}"'
    )


def test_a_package_that_does_not_parse_is_named(tmp_path: Path) -> None:
    told = refusal(package(tmp_path, "msgpack", "x ="))
    assert told.startswith("msgpack, which bluetusk needs, does not import (SyntaxError: invalid syntax (__init__.py, ")


def test_ctrl_c_during_an_import_stays_itself(tmp_path: Path) -> None:
    done = run("import bluetusk", package(tmp_path, "gmpy2", "raise KeyboardInterrupt"))
    assert done.stderr.endswith("\nKeyboardInterrupt\n")


def test_a_module_without_a_file_is_refused() -> None:
    told = refusal(before="import sys, types\nsys.modules['msgpack'] = types.ModuleType('msgpack')")
    assert told.startswith("bluetusk needs msgpack >= 1.2.1, not an unknown version (a module without a file): pip ")


def test_cryptography_without_its_compiled_module_is_named(tmp_path: Path) -> None:
    shutil.copytree(
        Path(cryptography.__file__).parent, tmp_path / "cryptography", ignore=shutil.ignore_patterns("_rust*.so")
    )
    told = refusal(tmp_path)
    assert told.startswith("cryptography, which bluetusk needs, does not import (")
    assert "_rust" in told
    assert told.endswith(': pip install --force-reinstall "cryptography>=43"')


def test_a_broken_cffi_is_told_with_cryptography(tmp_path: Path) -> None:
    (tmp_path / "_cffi_backend.py").write_text("raise ImportError('no cffi')")
    assert refusal(tmp_path) == (
        "cryptography, which bluetusk needs, does not import (no cffi): "
        'pip install --force-reinstall "cryptography>=43"'
    )


STUB = """
import sys, types
__version__ = '2.0'
typing = sys.modules['numpy.typing'] = types.ModuleType('numpy.typing')
typing.NDArray = typing.ArrayLike = typing.DTypeLike = list
"""


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("numpy", "__version__ = '2.0'", "No module named 'numpy.typing'"),
        ("numpy", STUB, "AttributeError: module 'numpy' has no attribute '"),
        ("gmpy2", "__version__ = '2.2'", "gmpy2"),
    ],
)
def test_a_stub_of_a_package_is_told_with_the_remedy(tmp_path: Path, name: str, text: str, cause: str) -> None:
    told = refusal(package(tmp_path, name, text))
    assert cause in told
    assert f'pip install --force-reinstall "{name}>=' in told or f'--only-binary {name} "{name}>=' in told


# --- GMP behind gmpy2


def test_a_gmpy2_without_an_extension_is_named(tmp_path: Path) -> None:
    package(tmp_path, "gmpy2", f"__version__ = {gmpy2.version()!r}")
    told = refusal(tmp_path)
    assert told.startswith(f"gmpy2 at {tmp_path / 'gmpy2' / '__init__.py'} has no extension module: ")
    assert told.endswith('pip install --force-reinstall --only-binary gmpy2 "gmpy2>=2.2"')


def with_gmp(site: Path, old: bytes, new: bytes) -> dict[str, str]:
    """Copy gmpy2 and its libraries into a folder, one symbol of libgmp renamed; return what the loader needs."""
    assert len(old) == len(new)
    maps = Path("/proc/self/maps").read_text()
    libgmp = Path(next(line.split()[-1] for line in maps.splitlines() if "/libgmp" in line))
    shutil.copytree(Path(gmpy2.__file__).parent, site / "gmpy2")
    beside = Path(gmpy2.__file__).parents[1] / "gmpy2.libs"  # where a wheel has them
    libraries = site / "gmpy2.libs"
    if beside.is_dir():
        shutil.copytree(beside, libraries)
    else:
        libraries.mkdir()
    data = libgmp.read_bytes()
    assert data.count(b"\0" + old + b"\0") >= 1
    (libraries / libgmp.name).unlink(missing_ok=True)
    (libraries / libgmp.name).write_bytes(data.replace(b"\0" + old + b"\0", b"\0" + new + b"\0"))
    return {"LD_LIBRARY_PATH": str(libraries)}


@pytest.mark.parametrize("symbol", ["__gmpn_sec_mul_itch", "__gmpn_sec_mul"])
def test_a_gmp_without_a_function_is_named_with_the_function(tmp_path: Path, symbol: str) -> None:
    env = with_gmp(tmp_path, symbol.encode(), symbol.encode()[:-1] + b"_")
    told = refusal(tmp_path, **env)
    assert re.fullmatch(
        re.escape(f"the GMP of {tmp_path}/gmpy2/gmpy2.") + rf"\S+\.so lacks {symbol}: "
        r'pip install --force-reinstall --only-binary gmpy2 "gmpy2>=2\.2"',
        told,
    )


# --- the compiled modules


def compiled(kernels: Path, name: str) -> Path:
    (found,) = kernels.glob(f"{name}.*.so")
    return found


@pytest.mark.parametrize("name", ["modexp", "ring"])
def test_a_compiled_module_of_another_machine_is_named(tmp_path: Path, name: str) -> None:
    file = compiled(copy(tmp_path), name)
    data = bytearray(file.read_bytes())
    data[18] ^= 0x80  # ELF's e_machine
    file.unlink()
    file.write_bytes(data)
    told = refusal(tmp_path)
    assert told.startswith(f"bluetusk's compiled module _kernels/{name} does not load in {PYTHON} ({file}")
    assert ", but it is there: it was built for another machine): install bluetusk with this" in told
    assert told.endswith(f"{sys.executable} -m pip install --force-reinstall bluetusk (or the folder of a checkout)")


def test_compiled_modules_of_another_python_are_named(tmp_path: Path) -> None:
    kernels = copy(tmp_path)
    for file in kernels.glob("*.so"):
        file.rename(file.with_name(f"{file.name.partition('.')[0]}.cpython-399-aarch64-linux-gnu.so"))
    told = refusal(tmp_path)
    name = told.partition("_kernels/")[2].split()[0]  # whichever is imported first
    assert told.startswith(
        f"bluetusk's compiled module _kernels/{name} is missing for {PYTHON}: {kernels} has "
        f"{name}.cpython-399-aarch64-linux-gnu.so; install bluetusk with this interpreter: "
    )


def test_sources_that_were_never_built_are_named(tmp_path: Path) -> None:
    kernels = copy(tmp_path)
    for file in kernels.glob("*.so"):
        file.unlink()
    told = refusal(tmp_path)
    name = told.partition("_kernels/")[2].split()[0]
    assert f"{name} is missing for {PYTHON}: {kernels} has no {name}.*.so; install" in told


@pytest.mark.parametrize("name", ["field", "modexp", "noise", "pack", "paillier", "ring", "straus"])
def test_each_compiled_module_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    kernels = copy(tmp_path)
    compiled(kernels, name).unlink()
    told = refusal(tmp_path)
    assert told.startswith(
        f"bluetusk's compiled module _kernels/{name} is missing for {PYTHON}: {kernels} has no {name}."
    )
    assert told.endswith(f"{sys.executable} -m pip install --force-reinstall bluetusk (or the folder of a checkout)")


@pytest.mark.parametrize("name", ["errors", "_version", "_requirements", "encoding", "wire._header"])
def test_a_missing_file_of_the_package_is_named(tmp_path: Path, name: str) -> None:
    copy(tmp_path)
    (tmp_path / "bluetusk" / f"{name.replace('.', '/')}.py").unlink()
    told = refusal(tmp_path)
    assert told.startswith("bluetusk is incomplete (")
    assert f"bluetusk.{name}" in told
    assert told.endswith(f"{sys.executable} -m pip install --force-reinstall bluetusk (or the folder of a checkout)")


def test_other_errors_of_an_import_are_left_alone(tmp_path: Path) -> None:
    copy(tmp_path)
    (tmp_path / "bluetusk" / "modexp.py").write_text("import bluetusk_no_such_module")
    assert refusal(tmp_path) == "No module named 'bluetusk_no_such_module'"


# --- an installation that nobody may write to

# root may write wherever it wants by CAP_DAC_OVERRIDE: without it the bits of a file count for root as well
DROP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for capability in (1, 2, 3):
    if libc.prctl(24, capability, 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
"""
PROBE = """
import os, sys
for folder in sys.argv[1:]:
    try:
        open(os.path.join(folder, "probe"), "w")
    except OSError:
        continue
    sys.exit(f"{folder} can be written to")
"""


def test_a_read_only_installation_works(tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    copy(site)
    home.mkdir()
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    hidden = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    env |= {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)]), "HOME": str(home)}

    def here(*words: str) -> str:
        command = [sys.executable, *words]
        if os.geteuid() == 0:
            command = [sys.executable, "-c", DROP, *command]
        done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    try:
        here("-c", PROBE, str(site / "bluetusk"), str(site / "bluetusk" / "_kernels"), str(home))
        found = here("-c", "import bluetusk; print(bluetusk.__file__)")
        assert found.strip() == str(site / "bluetusk" / "__init__.py")
        assert json.loads(here("-m", "bluetusk", "info", "--json"))["version"] == bluetusk.__version__
        assert "passed" in here("-m", "bluetusk", "selftest")
        assert here("-m", "bluetusk", "demo", "--help").startswith("usage: bluetusk demo")
        assert not list(site.rglob("__pycache__"))
    finally:
        for path in (tmp_path, *tmp_path.rglob("*")):
            path.chmod(0o755)
