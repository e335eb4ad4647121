"""The public face: every name documented with a running example, errors in one family, the self-test honest."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys
import types

import pytest

import bluetusk as bt
from bluetusk import _selftest

MODULES = [bt, bt.federated, bt.modexp, bt.paillier, bt.paillier.hazmat]


def public_objects():
    for module in MODULES:
        for name in module.__all__:
            thing = getattr(module, name)
            if not isinstance(thing, types.ModuleType | str):
                yield f"{module.__name__}.{name}", thing


@pytest.mark.parametrize(("name", "thing"), list(public_objects()))
def test_every_public_name_has_a_docstring_with_an_example(name, thing):
    if isinstance(thing, type) and issubclass(thing, Exception):
        assert thing.__doc__
        return
    documentation = inspect.getdoc(thing) or ""
    if isinstance(thing, type):
        members = [
            inspect.getdoc(member) or ""
            for key, member in inspect.getmembers(thing)
            if not key.startswith("_") and not isinstance(member, int | str)
        ]
        documentation += "\n".join(members)
    assert ">>>" in documentation, f"{name} has no example"


def test_errors_are_one_family():
    for name in bt.__all__:
        thing = getattr(bt, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
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
    assert info["backend"] == "mpn"
    assert info["audited"] is False
    assert {"gmp", "gmp_path", "numpy", "gmpy2", "python", "platform", "threads"} <= info.keys()


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
        "        dst[0] ^= 1\n"
        "m.Montgomery = Wrong\n"
        "import importlib, bluetusk._selftest\n"
        "importlib.reload(bluetusk._selftest).known_answer_test()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "self-test failed: modular arithmetic" in done.stderr


def test_the_import_is_light():
    """Neither the demo's nor the command line's packages are imported by `import bluetusk`."""
    code = "import sys, bluetusk; print([m for m in ('sklearn', 'matplotlib', 'rich', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
