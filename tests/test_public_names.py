"""The public face: every name documented with a running example, errors in one family, the self-test honest."""

from __future__ import annotations

import doctest
import importlib.metadata
import inspect
import logging
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import cryptography
import msgpack
import pytest

import bluetusk as bt
from bluetusk import _selftest

MODULES = [
    bt,
    bt.evidence,
    bt.federated,
    bt.federated.noise,
    bt.federated.secagg,
    bt.integrations,
    bt.integrations.flower,
    bt.modexp,
    bt.paillier,
    bt.paillier.hazmat,
    bt.sharing,
    bt.sharing.beaver,
    bt.sharing.ring,
    bt.sharing.shamir,
    bt.vertical,
    bt.vertical.evaluation,
    bt.vertical.party,
]


def is_ours(thing):
    return (getattr(thing, "__module__", None) or "").partition(".")[0] == "bluetusk"


def members(cls):
    """Every public method and property of a class and of those bases that are ours; no field, no built-in."""
    fields = {*getattr(cls, "_fields", ()), *getattr(cls, "__dataclass_fields__", ())}
    names = {name for base in cls.__mro__ if is_ours(base) for name in vars(base) if not name.startswith("_")}
    for name in sorted(names - fields):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", member)
        if inspect.isroutine(member) or inspect.isdatadescriptor(member):
            yield name, member


def public_things(modules=MODULES):
    """(name, thing) for each public class and function, and for each public method and property of such a class."""
    found = {}
    for module in modules:
        for name in module.__all__:
            thing = getattr(module, name)
            if not isinstance(thing, type) and not inspect.isroutine(thing):
                assert isinstance(thing, types.ModuleType | str | int)
                continue
            assert is_ours(thing), f"{module.__name__}.{name} is not defined here"
            path = f"{thing.__module__}.{thing.__qualname__}"
            found[path] = thing
            if isinstance(thing, type):
                found |= {f"{path}.{key}": member for key, member in members(thing)}
    return found


def has_example(thing):
    """Whether its own docstring, not an inherited one, holds an example that pytest runs."""
    return bool(doctest.DocTestParser().get_examples(thing.__doc__ or ""))


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*pair, id=pair[0]) for pair in public_things().items()])
def test_every_public_thing_has_a_docstring_with_an_example_of_its_own(name, thing):
    assert thing.__doc__, f"{name} has no docstring"
    assert has_example(thing), f"{name} has no example"


def test_the_collection_is_complete_and_examples_are_not_borrowed():
    class Base:
        """>>> 1"""

        def inherited(self):
            """Nothing is shown."""

    class Thing(Base):
        """>>> 1"""

        @property
        def size(self):
            """>>> 1"""

        @classmethod
        def make(cls):
            pass

        @staticmethod
        def help():
            """No example: >> 1."""

        def _private(self):
            pass

    for cls in (Base, Thing):
        cls.__module__ = "bluetusk.toy"
    module = types.ModuleType("toy")
    module.__all__, module.Thing = ["Thing"], Thing
    told = {name.rpartition(".")[2]: has_example(thing) for name, thing in public_things([module]).items()}
    assert told == {"Thing": True, "size": True, "make": False, "help": False, "inherited": False}
    things = public_things()
    assert len(things) > 100
    for name in ("InvalidKey", "KeyHolder.open", "CipherArray.shape", "PublicKey.n", "SumResult.from_bytes"):
        assert any(key.endswith(f".{name}") for key in things), name


def test_errors_are_one_family():
    for name in bt.__all__:
        thing = getattr(bt, name)
        if isinstance(thing, type) and issubclass(thing, Exception) and not issubclass(thing, Warning):
            assert issubclass(thing, bt.BluetuskError)
    abort = bt.ProtocolAbort("too few clients", round=3, party="bank-2")
    assert (abort.round, abort.reason, abort.party) == (3, "too few clients", "bank-2")
    assert str(abort) == "round 3: too few clients (party at fault: bank-2)"


def test_decryption_errors_say_the_same_whatever_the_cause(caplog):
    """M16."""
    with caplog.at_level(logging.WARNING, logger="bluetusk"):
        assert str(bt.DecryptionError("slot 3 overflows")) == str(bt.DecryptionError("fault"))
    assert ["slot 3 overflows" in record.getMessage() for record in caplog.records] == [True, False]


def test_build_info_names_what_is_needed_for_a_report():
    info = bt.build_info()
    assert info["version"] == bt.__version__
    assert (info["backend"], info["lanes"]) in {("ifma", 8), ("fma", 4), ("mpn", 1)}
    assert info["audited"] is False
    assert {"gmp", "gmp_path", "numpy", "gmpy2", "python", "platform", "threads"} <= info.keys()


CPUINFO = "processor\t: 0\nflags\t\t: fpu sse2 {}\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("flags", "backend", "named"),
    [
        ("avx2 fma avx512f avx512ifma", "ifma", ""),
        ("avx2 fma avx512f avx512ifma", "fma", "AVX-512 IFMA"),
        ("avx2 fma avx512f avx512ifma", "mpn", "AVX-512 IFMA"),
        ("avx2 fma avx512f", "fma", ""),
        ("avx2 fma", "mpn", "AVX2 and FMA"),
        ("avx2", "mpn", ""),  # no FMA: mpn is the best there is
        ("", "mpn", ""),
    ],
)
def test_a_build_that_leaves_instructions_unused_warns(monkeypatch, tmp_path, flags, backend, named):
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flags))
    monkeypatch.setattr(_selftest, "Path", lambda name: tmp_path / "cpuinfo" if name == "/proc/cpuinfo" else None)
    monkeypatch.setattr(_selftest, "_BACKEND", backend)
    monkeypatch.setattr(_selftest, "_CHOSEN", "")
    monkeypatch.setenv("BLUETUSK_BACKEND", "mpn")  # too late: the kernels read it when they were imported
    warning = bt.build_info()["warning"]
    assert (named in warning and repr(backend) in warning) if named else warning == ""
    if named:
        with pytest.warns(RuntimeWarning, match=named):
            bt.selftest()
    with monkeypatch.context() as elsewhere:  # under an emulator, which shows its host's list
        elsewhere.setattr(_selftest.platform, "machine", lambda: "aarch64")
        assert bt.build_info()["warning"] == ""
    monkeypatch.setattr(_selftest, "_CHOSEN", backend)  # somebody's own choice
    assert bt.build_info()["warning"] == ""


def test_the_fastest_backend_of_this_cpu_is_in_use_unless_another_was_chosen():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = line.split()
            break
    else:
        flags = []
    best = "ifma" if "avx512ifma" in flags else "fma" if {"avx2", "fma"} <= set(flags) else "mpn"
    assert bt.build_info()["backend"] == (os.environ.get("BLUETUSK_BACKEND") or best)


def test_versions_are_those_of_the_modules_in_use(monkeypatch):
    for name, module in (("msgpack", msgpack), ("cryptography", cryptography)):
        assert bt.build_info()[name] == importlib.metadata.version(name)
        monkeypatch.setattr(module, "__version__", "99.1")  # vendored, or on a path before the one that pip knows
        assert bt.build_info()[name] == "99.1"


def test_the_compiler_is_named():
    assert re.fullmatch(r"(gcc|clang) \d+\.\d+\.\d+( \(zig\))?", bt.build_info()["compiler"])


def test_selftest_passes_and_can_fail(monkeypatch):
    results = bt.selftest()
    assert len(results) >= 6
    assert all(result.seconds >= 0 for result in results)
    monkeypatch.setattr(_selftest.FixedPoint, "quantise", lambda self, x: (x.astype("int64"), 0))
    with pytest.raises(bt.BluetuskError, match="quantisation"):
        _selftest.known_answer_test()


def test_a_wrong_product_stops_the_import():
    code = (
        "import bluetusk._kernels.modexp as m\n"
        "class Wrong(m.Montgomery):\n"
        "    def mul(self, dst, *rest):\n"
        "        super().mul(dst, *rest)\n"
        "        super().mul(dst, dst, None, dst, None, 0, 1)\n"
        "m.Montgomery = Wrong\n"
        "import importlib, bluetusk._selftest\n"
        "importlib.reload(bluetusk._selftest).known_answer_test()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "self-test failed: modular arithmetic" in done.stderr


def test_the_import_is_light():
    """Neither the demo's nor the command line's packages are imported by `import bluetusk`."""
    heavy = ("sklearn", "matplotlib", "rich", "tqdm", "flwr")
    code = f"import sys, bluetusk; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
