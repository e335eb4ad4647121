"""The documents are part of the product: their examples run as printed, and their links lead somewhere.

A page with examples in Python shows them as in a terminal, with ``>>>`` and what is printed. All of a page's examples
share one namespace and one empty folder. A block ``console`` holds shell commands behind ``$`` and what they print; a
block ``python title="NAME"`` is a file, and is written into that folder.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bluetusk.tasks import TASKS
from bluetusk.wire.frame import Kind

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS = 20.0  # of processor time, for a page
BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")

# Pages that a reader follows line by line; others may show fragments.
FOLLOWED = (
    "../README.md",
    "tutorials/arrays.md",
    "tutorials/ten-banks.md",
    "how-to/key-holder-sums.md",
    "how-to/secure-aggregation.md",
    "how-to/shares.md",
    "how-to/noise.md",
    "how-to/keys-and-files.md",
    "how-to/powers.md",
)


def run_page(text: str, folder: Path, globs: dict[str, object]) -> list[str]:
    """Run a page's blocks in the folder, which is the current one; return what went wrong, block by block."""
    parser, runner, wrong = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=FLAGS, verbose=False), []
    for block in BLOCK.finditer(text):
        language, options, body = block.groups()
        line = text.count("\n", 0, block.start()) + 1
        if language == "python" and "title=" in options:
            (folder / re.search(r'title="([^"]+)"', options).group(1)).write_text(body)
        elif language == "python":
            examples = parser.get_doctest(body, globs, f"line {line}", "page", line)
            if not examples.examples:
                wrong.append(f"line {line}: a Python block without an example")
            runner.run(examples, out=wrong.append, clear_globs=False)
            globs.update(examples.globs)
        elif language == "console":
            wrong += run_console(body, folder, line)
    return wrong


def run_console(body: str, folder: Path, line: int) -> list[str]:
    """Run the commands of a block; return those that print something else."""
    wrong = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert not parts[0], f"line {line}: a console block begins with a command"
    for part in parts[1:]:
        command, _, want = part.partition("\n")
        got = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path, "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        ).stdout
        if not doctest.OutputChecker().check_output(want, got, FLAGS):
            wrong.append(f"line {line}: {command}\nexpected:\n{want}got:\n{got}")
    return wrong


def flower_is_there() -> bool:
    """Tell whether Flower can be imported: the extra `test` brings it from CPython 3.11 on."""
    return sys.version_info >= (3, 11)


# ------------------------------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("name", FOLLOWED)
def test_examples_run_as_printed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started = sum(os.times()[:4])  # with that of the commands
    wrong = run_page((DOCS / name).read_text(), tmp_path, {})
    assert not wrong, "\n".join(wrong)
    assert sum(os.times()[:4]) - started < SECONDS


def test_every_page_with_examples_is_followed() -> None:
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if ">>> " in page.read_text()}
    assert pages == {*FOLLOWED, "how-to/flower.md"} - {"../README.md"}


def test_a_wrong_page_is_found(tmp_path: Path) -> None:
    good = "```python\n>>> x = 2\n```\n\n```python\n>>> x + 1\n3\n```\n\n```console\n$ echo two\ntwo\n```\n"
    assert run_page(good, tmp_path, {}) == []
    for right, planted in {
        "\n3\n": "\n4\n",
        ">>> x = 2": "x = 2",
        ">>> x + 1": ">>> y + 1",
        "\ntwo\n": "\nthree\n",
        "echo two": "exit 1",
    }.items():
        assert len(run_page(good.replace(right, planted), tmp_path, {})) >= 1, planted


@pytest.mark.skipif(not flower_is_there(), reason="flwr needs CPython 3.11")
def test_flower_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's app runs, and its errors are the real ones."""
    monkeypatch.chdir(tmp_path)
    wrong = run_page((DOCS / "how-to/flower.md").read_text(), tmp_path, {})
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------------------------------------------ links


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and images, outside of code."""
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text()))
    return LINK.findall(text) + re.findall(r'(?:src|href)="([^"]+)"', text)


def anchors(page: Path) -> set[str]:
    """Return the anchors that MkDocs and GitHub make of a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", BLOCK.sub("", page.read_text()), re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "]", heading)).strip().lower()
        found |= {re.sub(r"[-\s]+", "-", plain), re.sub(r"\s", "-", plain)}
    return found


def dead_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere in this repository."""
    dead = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", [*ROOT.glob("README*.md"), *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_pages_named_in_code_spans_exist(page: Path) -> None:
    """The site makes links of them (``.ci/docs_site.py``)."""
    assert [name for name in re.findall(r"`(docs/[\w/-]+\.md)`", page.read_text()) if not (ROOT / name).exists()] == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "there.md").write_text("# One heading, two words\n")
    page.write_text(
        "[a](there.md) [b](there.md#one-heading-two-words) ![c](gone.svg) [d](gone.md) [e](there.md#gone) "
        "[f](https://example.org/x) `[g](code.md)`\n\n# Here\n\n[h](#here) [i](#not-here)\n"
    )
    assert dead_links(page) == ["gone.svg", "gone.md", "there.md#gone", "#not-here"]


def loose_fences(text: str) -> list[str]:
    """The last fence of a page whose fences do not come in pairs, a language at the first of a pair alone."""
    opened = ""
    for line in re.findall(r"^ *```.*$", text, re.MULTILINE):
        if opened and line.strip() != "```":
            return [opened]
        opened = "" if opened else line.strip()
    return [opened] if opened else []


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_fences_come_in_pairs(page: Path) -> None:
    assert loose_fences(page.read_text()) == []


def test_a_loose_fence_is_found() -> None:
    assert loose_fences("```sh\nls\n```\ntext\n```\n\n```python\n1\n```\n") == ["```"]
    assert loose_fences("```python\n1\n") == ["```python"]


def test_the_page_on_what_is_revealed_has_all_tasks() -> None:
    page = (DOCS / "explanation" / "reveals.md").read_text()
    rows = [f"| {task.title} | {task.guest} | {task.host} | {task.reveals} |" for task in TASKS]
    assert "\n".join(rows) in page


def test_the_page_of_attacks_has_all_attacks() -> None:
    page = (DOCS / "explanation" / "attacks.md").read_text()
    named = set(re.findall(r"^\|.*\| `(test_\w+\.py)` \|$", page, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py")}, (
        "run python bench/attacks.py --write"
    )


def test_pages_have_the_figures_of_the_table_of_attacks() -> None:
    """Those that are the same in every run: a training is, whatever the keys."""
    page = (DOCS / "explanation" / "attacks.md").read_text()
    rows = [line.split(" | ")[2:5] for line in page.splitlines() if line.endswith("| `test_boosting_views.py` |")]
    (auc, top, joint, _) = rows[1:]
    boosting, revealed, model = (
        " ".join(path.read_text().split())
        for path in (DOCS / "how-to" / "boosting.md", DOCS / "explanation" / "reveals.md", ROOT / "THREAT_MODEL.md")
    )
    for text in (boosting, revealed, model):
        assert [figure for figure in auc if figure not in text] == []
    events, own, most = (f"{100 * float(figure):.0f} %" for figure in top)
    assert f"puts first, {events} are events (23 % of all, {own} by its own columns, {most} by the joint" in boosting
    assert f"with a joint first tree the host of the last paragraph reaches {joint[0]}." in boosting


# ------------------------------------------------------------------------------------------------------ diagrams


@pytest.mark.parametrize("picture", sorted((DOCS / "images").glob("*.svg")), ids=lambda picture: picture.name)
def test_diagrams_are_plain(picture: Path) -> None:
    """A diagram loads nothing, runs nothing, scales, and has a title and a description for those who cannot see it."""
    text = picture.read_text()
    assert "viewBox=" in text
    assert "<title" in text
    assert "<desc" in text
    assert not re.search(r"<script|<image|href=|url\(|@import|\son\w+=", text)


def test_diagrams_are_as_their_program_draws_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DOCS / "images" / "draw.py", tmp_path], check=True)
    assert {path.name: path.read_text() for path in (DOCS / "images").glob("*.svg")} == {
        path.name: path.read_text() for path in tmp_path.glob("*.svg")
    }


@pytest.mark.parametrize("picture", sorted((DOCS / "images").glob("*.png")), ids=lambda picture: picture.name)
def test_pictures_are_small_and_described(picture: Path) -> None:
    """A picture of the report is quick to load, stands in a page with its text, and is there in Chinese too."""
    assert picture.stat().st_size <= 200_000
    name = picture.name.partition(".")[0]
    assert (picture.with_name(f"{name}.png").exists(), picture.with_name(f"{name}.zh.png").exists()) == (True, True)
    texts = [
        text
        for page in DOCS.rglob("*.md")
        for text in re.findall(rf"!\[([^\]]*)\]\(\S*/{re.escape(picture.name)}\)", page.read_text())
    ]
    assert texts
    assert all(len(text) >= (15 if ".zh." in picture.name else 40) for text in texts)


def names_in(picture: str) -> set[str]:
    return set(re.findall(r'<text class="name"[^>]*>([^<]+)</text>', (DOCS / "images" / f"{picture}.svg").read_text()))


@pytest.mark.parametrize(("picture", "prefix"), [("paillier-sum", "SUM_"), ("secagg", "SECAGG_")])
def test_diagrams_of_sums_name_all_messages(picture: str, prefix: str) -> None:
    kinds = {kind.name.removeprefix(prefix).lower() for kind in Kind if kind.name.startswith(prefix)}
    apart = {"state", "session"} if prefix == "SECAGG_" else set()
    assert names_in(picture) == kinds - apart


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_diagrams_of_models_name_all_messages(model: str) -> None:
    code = "".join(path.read_text() for path in (ROOT / "src/bluetusk/vertical" / model).glob("*.py"))
    sent = set(re.findall(r'(?:\.send|_exchange)\((?:link, )?"([a-z ]+)"', code))
    optional = {"powers", "cubes", "to weigh", "weighed"} if model == "logistic" else set()
    assert names_in(model) == sent - optional
