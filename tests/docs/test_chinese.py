"""The Chinese pages say what the English ones say, as far as a program can tell.

A page is cut into blocks: headings, paragraphs, items of lists, tables, blocks of code. Both pages must have the same
blocks in the same order. Each block must have the same figures, the same code in the sentences, the same targets of
links; a table the same in each cell; a block of code must be the same byte for byte but for its comments. A heading
and its anchor are translated: links to anchors lead to the heading with the same number.

What may differ: words, comments in code (their figures and code may not), the line at the head of each page that leads
to the page in the other language, and the writing of figures: ``.5`` may be ``0.5``, ``1 000`` and ``1,000`` may be
``1000``, ``5 %`` may be ``5%``.
"""

from __future__ import annotations

import functools
import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "README.zh-CN.md",
    "docs/tutorials/two-csv-files.md": "docs/zh/two-csv-files.md",
    "docs/explanation/reveals.md": "docs/zh/reveals.md",
}
TERMS = "docs/zh/terms.md"
ENGLISH_OF = {chinese: english for english, chinese in PAGES.items()}

FENCE = re.compile(r" *```")
ITEM = re.compile(r"\s*(?:[*+-]|\d+\.) ")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
FIGURE = re.compile(r"(?:(?<![0-9A-Za-z.)\]])[-−])?(?:\d+(?:\.\d+)*|(?<![\w.])\.\d+)(?:\s?%)?")


@dataclass
class Block:
    """A heading, a paragraph, an item, a table or a block of code, without what may differ."""

    kind: str
    line: int
    text: str
    info: str = ""

    def __str__(self) -> str:
        return f"line {self.line} ({self.kind})"


def blocks(text: str) -> Iterator[Block]:
    """Cut a page into its blocks."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip():
            continue
        if FENCE.match(line):
            while not FENCE.match(lines[at]):
                at += 1
            at += 1
            yield Block("code", start + 1, "\n".join(lines[start + 1 : at - 1]), line.strip())
        elif found := re.match(r"(#+) +(.+)", line):
            yield Block(f"heading {len(found[1])}", start + 1, found[2])
        elif line.startswith("|"):
            while at < len(lines) and lines[at].startswith("|"):
                at += 1
            yield Block("table", start + 1, "\n".join(lines[start:at]))
        else:
            while at < len(lines) and lines[at].strip() and not re.match(r"#+ |\|| *```", lines[at]):
                if ITEM.match(lines[at]):
                    break
                at += 1
            kind = f"item {len(line) - len(line.lstrip())}" if ITEM.match(line) else "paragraph"
            yield Block(kind, start + 1, "\n".join(lines[start:at]))


@functools.cache
def without_comments(code: str) -> tuple[list[str], str]:
    """Return the lines of sh, toml or python without comments, and the comments. Lines of comments alone vanish."""
    lines, comments = [], []
    for line in code.splitlines():
        quoted, end = "", len(line)
        for at, sign in enumerate(line):
            if quoted:
                quoted = "" if sign == quoted and line[at - 1] != "\\" else quoted
            elif sign in "\"'":
                quoted = sign
            elif sign == "#" and (at == 0 or line[at - 1].isspace()):
                end = at
                break
        kept = line[:end].rstrip() if end < len(line) else line
        comments.append(line[end:])
        if kept or end == len(line):
            lines.append(kept)
    return lines, "\n".join(comments)


@functools.cache
def figures(text: str) -> Counter[str]:
    """Count the figures of a text, outside of code and of links' targets."""
    plain = LINK.sub("]", CODE.sub("`", text))
    plain = re.sub(r"(?<=\d)[ ,\u00a0\u2009\u202f](?=\d{3}(?!\d))", "", plain)
    found = [re.sub(r"\s", "", figure).replace("−", "-") for figure in FIGURE.findall(plain)]
    return Counter(re.sub(r"^(-?)\.", r"\g<1>0.", figure) for figure in found)


@functools.cache
def spans(text: str) -> Counter[str]:
    """Count the code in the sentences of a text."""
    return Counter(CODE.findall(text))


@functools.cache
def anchors_of(path: str) -> dict[str, int]:
    return anchors((ROOT / path).read_text(encoding="utf-8"))


@functools.cache
def anchors(text: str) -> dict[str, int]:
    """Number the anchors of a page's headings, as MkDocs and as GitHub make them."""
    found: dict[str, int] = {}
    headings = [block.text for block in blocks(text) if block.kind.startswith("heading")]
    for number, heading in enumerate(headings):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "]", heading)).strip().lower()
        for name in (re.sub(r"[-\s]+", "-", plain), re.sub(r"\s", "-", plain)):
            found.setdefault(name, number)
    return found


def targets(text: str, page: str, own: dict[str, int]) -> Counter[str]:
    """Count the targets of links: the English page and the number of its heading, whatever the language."""
    found: Counter[str] = Counter()
    if "](" not in text:
        return found
    for link in LINK.findall(CODE.sub("`", text)):
        if re.match(r"[a-z]+:", link):
            found[link] += 1
            continue
        path, _, anchor = link.partition("#")
        to = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        to = re.sub(r"\.zh\.png$", ".png", to)  # a picture of the same in Chinese
        if page in ENGLISH_OF and path and to in PAGES:
            found[f"{to}, of which there is a Chinese page"] += 1
            continue
        english = ENGLISH_OF.get(to, to)
        if anchor and english in PAGES:
            known = own if to == page else anchors_of(to)
            anchor = f"heading {known[anchor]}" if anchor in known else f"{anchor}, which is not there"
        found[f"{english}#{anchor}" if anchor else english] += 1
    return found


def apart(what: str, english: Counter[str], chinese: Counter[str]) -> list[str]:
    """Say what one of two blocks has and the other has not."""
    if english == chinese:
        return []
    only = [
        (name, sorted((a - b).elements()))
        for name, a, b in (("English", english, chinese), ("Chinese", chinese, english))
    ]
    return [f"{what} only in {name}: {', '.join(found)}" for name, found in only if found]


def without_the_way_over(parts: list[Block], language: str, page: str) -> tuple[list[Block], list[str]]:
    """Take the link to the other language from below the title; a Chinese page's paragraph that has it goes whole."""
    way = re.compile(rf" *\[{language}\]\(([^()\s]+)\)")
    found = [posixpath.normpath(posixpath.join(posixpath.dirname(page), to)) for to in way.findall(parts[1].text)]
    rest = way.sub("", parts[1].text) if language == "中文" or not found else ""
    below = [Block(parts[1].kind, parts[1].line, rest)] if rest else []
    return [parts[0], *below, *parts[2:]], found


def differences(english: str, chinese: str, page: str = "README.md") -> list[str]:
    """Compare a Chinese page with its English one: what a translation must keep, and does not."""
    found, pages = [], []
    for language, text, own, other in (("中文", english, page, PAGES[page]), ("English", chinese, PAGES[page], page)):
        parts, to = without_the_way_over(list(blocks(text)), language, own)
        if to != [other]:
            found.append(f"{own} must have one link [{language}]({other}) below its title; it has {to}")
        pages.append(parts)
    kinds = [[block.kind for block in parts] for parts in pages]
    if kinds[0] != kinds[1]:
        pairs = itertools.zip_longest(*pages)
        ours, theirs = next((a, b) for a, b in pairs if a is None or b is None or a.kind != b.kind)
        return [*found, f"the pages part at {ours or 'the end'} of {page} and {theirs or 'the end'} of {PAGES[page]}"]
    own = {page: anchors(english), PAGES[page]: anchors(chinese)}  # of these texts, which may not be those on the disk
    for ours, theirs in zip(*pages, strict=True):
        where = f"{page}, {ours}; {PAGES[page]}, {theirs}"
        found += [f"{where}: {text}" for text in unlike(ours, theirs, page, own)]
    return found


def unlike(ours: Block, theirs: Block, page: str, own: dict[str, dict[str, int]]) -> list[str]:
    """Compare two blocks of the same kind."""
    if ours.kind == "code":
        commented = re.match(r"```(sh|toml|python|console)\b", ours.info)
        if ours.info != theirs.info:
            return [f"{theirs.info} should be {ours.info}"]
        if not commented:
            return [] if ours.text == theirs.text else ["the text differs"]
        (code, comment), (other_code, other_comment) = without_comments(ours.text), without_comments(theirs.text)
        lines = itertools.zip_longest(code, other_code, fillvalue="nothing")
        return [f"{b!r} should be {a!r}" for a, b in lines if a != b] + same_facts(comment, other_comment, page, own)
    if ours.kind == "table":
        rows, other_rows = (
            [re.split(r"(?<!\\)\|", row)[1:-1] for row in block.text.splitlines()] for block in (ours, theirs)
        )
        if [len(row) for row in rows] != [len(row) for row in other_rows]:
            return [f"{len(rows)} rows in English, {len(other_rows)} in Chinese, or rows with other numbers of cells"]
        return [
            f"row {number}: {text}"
            for number, (row, other_row) in enumerate(zip(rows, other_rows, strict=True), 1)
            for cell, other_cell in zip(row, other_row, strict=True)
            for text in same_facts(cell, other_cell, page, own)
        ]
    return same_facts(ours.text, theirs.text, page, own)


def same_facts(ours: str, theirs: str, page: str, own: dict[str, dict[str, int]]) -> list[str]:
    """Compare the figures, the code and the links of two texts."""
    return [
        *apart("figures", figures(ours), figures(theirs)),
        *apart("code", spans(ours), spans(theirs)),
        *apart("links", targets(ours, page, own[page]), targets(theirs, PAGES[page], own[PAGES[page]])),
    ]


def read(page: str) -> tuple[str, str]:
    return (ROOT / page).read_text(encoding="utf-8"), (ROOT / PAGES[page]).read_text(encoding="utf-8")


HEADINGS = {  # a heading that is worded anew must be translated anew, and stand here
    "Bluetusk": "Bluetusk",
    "Install": "安装",
    "Add encrypted gradients": "把加密的梯度相加",
    "Features": "功能",
    "Two commands": "两条命令",
    "Measured": "实测数据",
    "What it does not protect": "不提供的保护",
    "More": "更多",
    "Tutorial: two CSV files, one credit model": "教程：两个 CSV 文件，一个信贷模型",
    "1. The two files": "1. 两个文件",
    "2. Who is who: certificates": "2. 确认双方身份：证书",
    "3. Who signs: identities": "3. 确认签署者：身份密钥",
    "4. What the peer may do: policies": "4. 对方可以做什么：授权策略",
    "5. What is trained: two TOML files": "5. 训练什么：两个 TOML 文件",
    "6. Start both sides": "6. 启动双方",
    "7. Read what came out": "7. 查看结果",
    "8. Score new merchants later": "8. 以后对新商户评分",
    "9. What was done, and can it be proved?": "9. 做过什么，能否证明？",
    "10. Revoke": "10. 撤销",
    "What is revealed to whom": "向谁透露什么",
    "All tasks in one table": "全部任务一览",
    "Intersection": "求交",
    "Split": "切分",
    "Binning": "分箱",
    "Logistic regression": "逻辑回归",
    "Boosting": "梯度提升",
    "Prediction": "预测",
    "New rows": "新样本",
    "Blacklist": "黑名单",
    "Heads of the logs": "日志头",
    "Anybody else": "其他任何人",
    "Reports": "报告",
    "To decide before you sign": "签署之前需要决定的事项",
}


def other_headings(english: str, chinese: str) -> list[str]:
    """Name the headings that are not those of the table."""
    ours, theirs = (
        [each.text for each in blocks(text) if each.kind.startswith("heading")] for text in (english, chinese)
    )
    return [f"{a!r}, {b!r}" for a, b in zip(ours, theirs, strict=True) if HEADINGS.get(a) != b]


@pytest.mark.parametrize("page", PAGES)
def test_the_headings_are_those_of_the_table(page: str) -> None:
    assert not other_headings(*read(page))


@pytest.mark.parametrize("page", PAGES)
def test_a_heading_that_is_worded_anew_is_found(page: str) -> None:
    pages = read(page)
    for side, text in enumerate(pages):
        for block in blocks(text):
            if block.kind.startswith("heading"):
                changed = list(pages)
                changed[side] = text.replace(f"# {block.text}\n", f"# {block.text} again\n", 1)
                assert other_headings(*changed), block.text


@pytest.mark.parametrize("page", PAGES)
def test_the_chinese_page_says_what_the_english_one_says(page: str) -> None:
    found = differences(*read(page), page)
    assert not found, "\n".join(found)


def test_every_chinese_page_has_an_english_one() -> None:
    pages = {
        path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.zh-CN.md"), *(ROOT / "docs/zh").rglob("*.md")]
    }
    assert pages == {*PAGES.values(), TERMS}


# ------------------------------------------------------------------------------------------------------------ terms

WORDS = [  # of the table: those that stand for one thing wherever they stand
    *["guest", "host", "label", "ciphertext", "public key", "private key", "hash", "mask", "bin", "bucket", "node"],
    *["gain", "gradient", "coefficient", "score", "points", "events", "policy", "certificate", "fingerprint"],
    *["passphrase", "blacklist", "noise", "information value", "semi-honest", "job"],
]
ELSE = {"host": "主机"}  # a computer


def terms() -> dict[str, str]:
    """Return the Chinese forms of each English term, as a pattern."""
    text = (ROOT / TERMS).read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines() if line.startswith("| ")]
    return {word.strip(): chinese.replace("、", "|") for english, chinese in rows for word in english.split(",")}


def wrong_words(english: str, chinese: str, page: str) -> list[str]:
    """Name the blocks and cells in which a term is not that of the table."""
    found, table = [], terms()
    for ours, theirs in zip(
        without_the_way_over(list(blocks(english)), "中文", page)[0],
        without_the_way_over(list(blocks(chinese)), "English", PAGES[page])[0],
        strict=True,
    ):
        if ours.kind == "code":
            continue
        cells = zip(
            *(block.text.split("|") if ours.kind == "table" else [block.text] for block in (ours, theirs)), strict=True
        )
        for cell, other in cells:
            plain = " ".join(LINK.sub("]", re.sub(r'`[^`\n]*`|"[^"\n]*"', "", cell)).split())
            for word in WORDS:
                named = re.search(rf"\b{re.sub('y$', '(?:y|ie)', word)}(?:e?s)?\b", plain, re.IGNORECASE)
                forms = table[word] + (f"|{ELSE[word]}" if word in ELSE else "")
                if bool(named) > bool(re.search(forms, other)):
                    found.append(f"{PAGES[page]}, {theirs}: {word} should be {forms}: {other}")
                elif word in ("guest", "host") and not named and re.search(table[word], other):
                    found.append(f"{PAGES[page]}, {theirs}: no {word} in English: {other}")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_terms_are_those_of_the_table(page: str) -> None:
    found = wrong_words(*read(page), page)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("word", WORDS)
def test_a_term_that_is_not_of_the_table_is_found(word: str) -> None:
    found = []
    for page in PAGES:
        english, chinese = read(page)
        found += wrong_words(english, re.sub(terms()[word], "别的词", chinese), page)
    assert any(f": {word} should be" in text for text in found)


def test_guest_and_host_exchanged_are_found() -> None:
    """In each cell and each paragraph that names one of them."""
    tried = 0
    for page in PAGES:
        english, chinese = read(page)
        for line in (line for block in blocks(chinese) if block.kind != "code" for line in block.text.splitlines()):
            for cell in line.split("|"):
                if (
                    len(roles := set(re.findall("[主被]动参与方", cell))) == 1
                    and line.count(cell) == chinese.count(line) == 1
                ):
                    other = re.sub("[主被](?=动参与方)", "主" if "被动参与方" in roles else "被", cell)
                    text = chinese.replace(line, line.replace(cell, other))
                    assert wrong_words(english, text, page), cell
                    tried += 1
    assert tried > 20


# ------------------------------------------------------------------------------------------- what the comparison sees


def planted(fault: str, text: str) -> Iterator[str]:
    """Plant one fault at every place of a page where it can be, below the line that leads to the other language."""
    lines = text.splitlines(keepends=True)
    for block in list(blocks(text))[2:]:
        first = block.line - 1
        last = first + block.text.count("\n") + (3 if block.kind == "code" else 1)
        before, own, after = "".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:])
        for new in PLANT[fault](block, own):
            yield before + new + after


def edited(own: str, pattern: str, edit: str, where: str = "") -> Iterator[str]:
    """Edit a block at each place that matches; `where` is a text of the same length to look in."""
    for found in re.finditer(pattern, where or own, re.MULTILINE):
        yield own[: found.start()] + found.expand(edit) + own[found.end() :]


def outside_of_code(own: str) -> str:
    return re.sub(r"`[^`\n]*`|\]\([^()\s]+\)", lambda found: "x" * len(found[0]), own)


def rows_removed(own: str) -> Iterator[str]:
    rows = own.splitlines(keepends=True)
    yield from ("".join(rows[:at] + rows[at + 1 :]) for at in range(len(rows)))


def when(kinds: str, plant: Callable[[str], Iterable[str]]) -> Callable[[Block, str], Iterable[str]]:
    return lambda block, own: plant(own) if re.match(kinds, block.kind) else ()


NUMBER = r"\d*\.?\d+"
PLANT: dict[str, Callable[[Block, str], Iterable[str]]] = {
    "a heading removed": when("heading", lambda own: [""]),
    "a heading one level deeper": when("heading", lambda own: ["#" + own]),
    "a paragraph, item, table or block of code removed": when("(?!heading)", lambda own: [""]),
    "a paragraph, item, table or block of code twice": when("(?!heading)", lambda own: [own + "\n" + own]),
    "a line of code changed": when("code", lambda own: edited(own, r"^(?!```)([^#\n]*[^#\s])(?=\s+#|$)", r"\1x")),
    "a line of code removed": when("code", lambda own: edited(own, r"^(?!```)[^#\n]*[^#\s](\s+#.*)?\n", "")),
    "a title of code changed": when("code", lambda own: edited(own, r'(?<=title=")(\w)', r"x\1")),
    "a figure in a comment changed": when("code", lambda own: edited(own, r"(?<=# )([^\d\n]*)(\d)", r"\g<1>9\2")),
    "a figure changed": when("(?!code)", lambda own: edited(own, NUMBER, r"9\g<0>", outside_of_code(own))),
    "a figure removed": when("(?!code)", lambda own: edited(own, NUMBER, "", outside_of_code(own))),
    "a row removed": when("table", rows_removed),
    "code in a sentence changed": when("(?!code)", lambda own: edited(own, r"`([^`\n]+)`", r"`\1x`")),
    "a link's target changed": when("(?!code)", lambda own: edited(own, r"\]\(([^()\s]+)\)", r"](x\1)")),
    "a link's anchor dropped": when("(?!code)", lambda own: edited(own, r"#[^()\s]+\)", ")")),
}


@pytest.mark.parametrize("fault", PLANT)
def test_a_fault_is_found_wherever_it_is_planted(fault: str) -> None:
    """On every page, in either language, at every place."""
    tried = 0
    for page in PAGES:
        english, chinese = read(page)
        as_they_are = differences(english, chinese, page)
        for texts in [(english, text) for text in planted(fault, chinese)] + [
            (text, chinese) for text in planted(fault, english)
        ]:
            assert differences(*texts, page) != as_they_are, f"{page}: not found: {fault}"
            tried += 1
    assert tried >= 6, fault


ENGLISH = """# A page

[中文](README.zh-CN.md)

At .5 of 1 000 rows, 5 % at `x`: see [there](docs/explanation/reveals.md#split).

```sh title="bank"
ls  # two files, 3 lines
# and more
cat 'a # b'
```
"""
CHINESE = """# 一页

[English](README.md) | 译文。

在 1000 行的 0.5 处，`x` 占 5%：见[那里](docs/zh/reveals.md#切分)。

```sh title="bank"
ls    # 两个文件，3 行
cat 'a # b'
```
"""


def test_what_a_translation_may_change() -> None:
    assert differences(ENGLISH, CHINESE) == []


def test_it_may_not_name_a_guest_or_a_host_where_there_is_none() -> None:
    assert wrong_words(ENGLISH, CHINESE, "README.md") == []
    for role in ("主动参与方", "被动参与方"):
        assert len(wrong_words(ENGLISH, CHINESE.replace("5%", role), "README.md")) == 1


@pytest.mark.parametrize(
    ("kept", "changed", "error"),
    [
        ("1000 行", "10 行", "figures only in English: 1000"),
        ("1000 行", "0.1 万行", "figures only in English: 1000"),
        ("5%", "5", "figures only in English: 5%"),
        ("`x`", "x", "code only in English: x"),
        ("#切分", "#求交", "links only in English: docs/explanation/reveals.md#heading 3"),
        ("#切分", "#分割", "links only in Chinese: docs/explanation/reveals.md#分割, which is not there"),
        ("zh/reveals.md#切分", "explanation/reveals.md#split", "of which there is a Chinese page"),
        ("[English](README.md) | ", "", "README.zh-CN.md must have one link [English](README.md) below its title"),
        ("English](README.md)", "English](docs/index.md)", "it has ['docs/index.md']"),
        ("ls  ", "ls -l  ", "'ls -l' should be 'ls'"),
        ("3 行", "4 行", "figures only in English: 3"),
        ("a # b", "a # c", "should be \"cat 'a # b'\""),
        ("bank", "network", 'should be ```sh title="bank"'),
        ("# 一页", "## 一页", "the pages part at line 1 (heading 1) of README.md and line 1 (heading 2)"),
        ("\n```\n", "\n```\n\n另一段。\n", "the pages part at the end of README.md and line 12 (paragraph)"),
    ],
)
def test_what_it_may_not_change(kept: str, changed: str, error: str) -> None:
    assert kept in CHINESE
    assert error in "\n".join(differences(ENGLISH, CHINESE.replace(kept, changed)))


def test_bold_text_ends_before_its_full_stop() -> None:
    """GitHub shows the asterisks of `**字。**字`, and of `字**“字`."""
    for page in [*PAGES.values(), TERMS]:
        text = (ROOT / page).read_text(encoding="utf-8")
        prose = CODE.sub("`", "\n".join(block.text for block in blocks(text) if block.kind != "code"))
        for found in re.finditer(r"(\w?)\*\*([^*\n]+)\*\*(\w?)", prose):
            before, bold, after = found.groups()
            assert not (before and not bold[0].isalnum()), found[0]
            assert not (after and not bold[-1].isalnum()), found[0]
