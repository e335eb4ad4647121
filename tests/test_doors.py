"""Doors between the rooms: no private name crosses a package, no import circle joins two files, no import goes up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
TUPLE = {"_asdict", "_fields", "_make", "_replace"}  # public, by the documentation of collections.namedtuple


def sources() -> dict[str, str]:
    """Every module of the package and its text; a package under the name of its __init__."""
    found = {}
    for path in sorted((SRC / "bluetusk").rglob("*.py")):
        found[".".join(path.relative_to(SRC).with_suffix("").parts)] = path.read_text()
    return found


def package_of(module: str) -> str:
    return module.rpartition(".")[0]


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def inside(package: str, owner: str) -> bool:
    """Whether a package is the owner or lies in it: what is private to a package may be used in all of it."""
    return package == owner or package.startswith(owner + ".")


def imports(module: str, tree: ast.AST) -> Iterator[tuple[ast.stmt, str, str]]:
    """Yield each import of ours: the statement, the absolute module, the name ("" for a whole module)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, "") for alias in node.names if alias.name.split(".")[0] == "bluetusk")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package_of(module).split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            if base.split(".")[0] == "bluetusk":
                yield from ((node, base, alias.name) for alias in node.names)


def defined(tree: ast.AST) -> set[str]:
    """Private names that a module makes: functions, classes, variables, slots, attributes of its own objects."""
    names: set[str] = set()
    born = {"self", "cls"}  # and variables that hold an object that is just being made
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and "__new__" in ast.unparse(node.value):
            born |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in born:
                names.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "object.__setattr__":
            names |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
        if isinstance(node, ast.Assign) and any(ast.unparse(t) == "__slots__" for t in node.targets):
            names |= {c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
    return {name for name in names if private(name)}


def crossings(texts: Mapping[str, str]) -> list[str]:
    """Return each use of a private name outside the package that makes it, and the packages in that one."""
    trees = {module: ast.parse(text) for module, text in texts.items()}
    made: dict[str, set[str]] = {}
    for module, tree in trees.items():
        made.setdefault(package_of(module), set()).update(defined(tree))
    found = []
    for module, tree in trees.items():
        package = package_of(module)
        for node, base, name in imports(module, tree):
            parts = [*base.split("."), *([name] if name else [])]
            for i, part in enumerate(parts):
                owner = ".".join(parts[:i])
                if owner in trees:  # a module: what it makes is its package's
                    owner = package_of(owner)
                if private(part) and not inside(package, owner):
                    found.append(f"{module}:{node.lineno} imports {'.'.join(parts)}")
        foreign = {
            alias.asname or alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if not alias.name.startswith("bluetusk")
        }
        known = {name for owner, names in made.items() if inside(package, owner) for name in names} | TUPLE
        for node in ast.walk(tree):
            used = ""
            if isinstance(node, ast.Attribute):
                if not (isinstance(node.value, ast.Name) and node.value.id in foreign):  # os._exit, sys._getframe
                    used = node.attr
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
                second = node.args[1] if len(node.args) > 1 else None
                used = str(second.value) if isinstance(second, ast.Constant) else ""
            if private(used) and used not in known:
                found.append(f"{module}:{node.lineno} uses {used}")
    return found


def circles(texts: Mapping[str, str]) -> list[list[str]]:
    """Return the circles of imports between files, imports inside functions and for types included.

    What is imported of a package itself, through its __init__, counts only if it is needed when the program runs.
    """
    edges: dict[str, set[str]] = {}
    for module, text in texts.items():
        tree = ast.parse(text)
        types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        out = edges.setdefault(module, set())
        for node, base, name in imports(module, tree):
            whole = f"{base}.{name}"
            target = whole if whole in texts else base
            if target in texts:
                out.add(target)
            elif f"{whole}.__init__" in texts or f"{base}.__init__" in texts:
                target = f"{whole}.__init__" if f"{whole}.__init__" in texts else f"{base}.__init__"
                if id(node) not in types and target != module:
                    out.add(target)
    return [sorted(part) for part in components(edges) if len(part) > 1]


def components(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.append(part)

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_no_private_name_crosses_a_package() -> None:
    assert crossings(sources()) == []


def test_no_import_circle() -> None:
    assert circles(sources()) == []


PLANTED = {
    "bluetusk.__init__": "",
    "bluetusk._shared": "x = 1",
    "bluetusk.a.__init__": "",
    "bluetusk.a._room": "class Safe:\n    def __init__(self):\n        self._key = 1\n    def _turn(self): ...",
    "bluetusk.a.door": "from ._room import Safe\nfrom .._shared import x\n_hidden = 2",
    "bluetusk.a.inner.__init__": "",
    "bluetusk.a.inner.cell": "from .._room import Safe\nSafe()._key",
    "bluetusk.b.__init__": "",
    "bluetusk.b.own": "import os\nclass Mine:\n    _made = 1\nMine._made\nos._exit(0)\nt._replace(a=1)",
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from ..a._room import Safe", "imports bluetusk.a._room.Safe"),
        ("from ..a import _room", "imports bluetusk.a._room"),
        ("import bluetusk.a._room", "imports bluetusk.a._room"),
        ("from ..a.door import _hidden", "imports bluetusk.a.door._hidden"),
        ("def f():\n    from ..a.door import _hidden", "imports bluetusk.a.door._hidden"),
        ("from ..a import door\ndoor._hidden", "uses _hidden"),
        ("def f(safe):\n    return safe._key", "uses _key"),
        ("def f(safe):\n    safe._key = 3", "uses _key"),
        ("def f(safe):\n    safe._turn()", "uses _turn"),
        ("def f(safe):\n    return getattr(safe, '_key')", "uses _key"),
        ("from ..a.door import Safe\nclass Heir(Safe):\n    def f(self):\n        return self._key", "uses _key"),
    ],
)
def test_a_planted_crossing_is_seen(text: str, told: str) -> None:
    assert crossings(PLANTED) == []
    (found,) = crossings({**PLANTED, "bluetusk.b.planted": text})
    assert found.startswith("bluetusk.b.planted:")
    assert told in found


@pytest.mark.parametrize(
    "back",
    [
        "from ..b.planted import y",
        "def f():\n    from bluetusk.b import planted",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..b.planted import y",
        "import bluetusk.b.planted",
    ],
)
def test_a_planted_circle_is_seen(back: str) -> None:
    planted = {**PLANTED, "bluetusk.b.planted": "from ..a.back import f\ny = 1"}
    assert circles({**planted, "bluetusk.a.back": "f = 1"}) == []
    assert circles({**planted, "bluetusk.a.back": back}) == [["bluetusk.a.back", "bluetusk.b.planted"]]


def test_a_planted_circle_through_the_own_package_is_seen() -> None:
    texts = {"bluetusk.a.__init__": "from .planted import y", "bluetusk.a.planted": "from . import z"}
    assert circles(texts) == [["bluetusk.a.__init__", "bluetusk.a.planted"]]


def test_types_may_come_through_a_package() -> None:
    back = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..b import y"
    planted = {"bluetusk.b.__init__": "from .planted import y", "bluetusk.b.planted": "from ..a.back import f\ny = 1"}
    assert circles({**PLANTED, **planted, "bluetusk.a.back": back}) == []
    assert circles({**PLANTED, **planted, "bluetusk.a.back": "from ..b import y"}) != []


def section(title: str) -> str:
    """One section of CONTRIBUTING.md."""
    return (ROOT / "CONTRIBUTING.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def floors() -> list[str]:
    """The modules and packages in the list of floors, from the top down."""
    rows = re.findall(r"^\| [^|`]+ \| (`.+) \|$", section("How the code is laid out"), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def upward(texts: Mapping[str, str], order: list[str]) -> list[str]:
    """Return the imports that go up in a list of floors, and the modules that it lacks or names in vain."""

    def room(module: str) -> str:
        return module.split(".")[1]

    rooms = {room(module) for module in texts} - {"__init__"}
    found = [f"not in the list, or twice: {name}" for name in sorted(rooms) if order.count(name) != 1]
    found += [f"no such module: {name}" for name in order if name not in rooms]
    place = {name: i for i, name in enumerate(order)}
    for module, text in texts.items():
        for node, base, name in imports(module, ast.parse(text)):
            other = room(base) if "." in base else name
            if room(module) in place and other in place and place[other] < place[room(module)]:
                found.append(f"{module}:{node.lineno} imports {other}")
    return found


def test_no_import_goes_up() -> None:
    assert floors()[:2] == ["__main__", "cli"]
    assert upward(sources(), floors()) == []


@pytest.mark.parametrize("text", ["from . import demo", "from .demo import roles", "import bluetusk.demo.roles"])
def test_a_planted_import_upwards_is_seen(text: str) -> None:
    assert upward({**sources(), "bluetusk.encoding": text}, floors()) == ["bluetusk.encoding:1 imports demo"]


def test_a_list_of_floors_that_is_not_of_this_house_is_seen() -> None:
    missing = upward({**sources(), "bluetusk.cellar": ""}, floors())
    assert missing == ["not in the list, or twice: cellar"]
    assert upward(sources(), [*floors(), "attic"]) == ["no such module: attic"]


def test_the_files_that_answer_questions_exist() -> None:
    named = re.findall(r"`((?:src|csrc)/[\w/.]+)`", section("Where is it?"))
    assert len(named) >= 15
    assert [name for name in named if not (ROOT / name).exists()] == []


DYNAMIC = re.compile(
    r"\b(import_module|__import__|attrgetter|methodcaller)\b|\b(vars|__dict__)\b[^\n]{0,20}\[.{0,2}_[a-z]"
)
KNOWN = {  # a checked package by its name, and the one package that is imported when it is asked for
    "bluetusk._requirements": ["return importlib.import_module(module)"],
    "bluetusk.vertical.__init__": ['return importlib.import_module(".party", __name__)'],
}


def dynamic(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """The lines that import a module or read an attribute in a way that the tests of this file do not follow."""
    found = {}
    for module, text in texts.items():
        lines = [line.strip() for line in text.splitlines() if DYNAMIC.search(line) and ">>>" not in line]
        if lines:
            found[module] = lines
    return found


def test_nothing_goes_around_the_doors() -> None:
    assert dynamic(sources()) == KNOWN


@pytest.mark.parametrize(
    "line",
    ['importlib.import_module("bluetusk.a._b")', '__import__("x")', 'attrgetter("_key")(safe)', 'vars(safe)["_key"]'],
)
def test_a_way_around_the_doors_is_seen(line: str) -> None:
    assert dynamic({"bluetusk.planted": line}) == {"bluetusk.planted": [line]}
