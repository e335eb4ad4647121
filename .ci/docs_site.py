"""Adds the documents of the repository's root to the site, and fails a build whose pages load something from elsewhere.

MkDocs calls the functions below (``hooks`` in ``mkdocs.yml``). Links are written as they work in a checkout:
``../SECURITY.md`` in ``docs/index.md`` leads to the page that is made here.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

PAGES = {
    "THREAT_MODEL.md": "explanation/threat-model.md",
    "SECURITY.md": "explanation/security.md",
    "CONTRIBUTING.md": "explanation/contributing.md",
    "CHANGELOG.md": "explanation/changelog.md",
}
NAME = re.compile(rf"(?<!\[)`({'|'.join(map(re.escape, PAGES))}|docs/[\w/-]+\.md)`")  # of a document, in a sentence
LINK = re.compile(r"\]\(([^)\s:#]+\.md)(#[^)\s]*)?\)")
ROLE = re.compile(r":(?:attr|class|exc|func|meth|mod):<code>(~?)\.?([\w.]+)</code>")  # Sphinx's, in docstrings
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source|embed|object)\b[^>]*\b(?:src|srcset|data)=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//[^>]*>|url\(["']?(?:https?:)?//[^)]*\)|@import[^;]*//|class=["']?mermaid"""
)


def on_files(files: Any, config: Any, **_: object) -> Any:
    """Add the documents of the root."""
    root = Path(config.config_file_path).parent
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(root / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Turn links to files of the repository, and their names in sentences, into links between pages."""
    here = page.file.src_uri
    source = {made: name for name, made in PAGES.items()}.get(here, f"docs/{here}")

    def to(target: str) -> str:
        return posixpath.relpath(PAGES.get(target, target.removeprefix("docs/")), posixpath.dirname(here) or ".")

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        return f"]({to(target)}{found[2] or ''})"

    return NAME.sub(lambda found: f"[{found[0]}]({to(found[1])})", LINK.sub(link, markdown))


def on_page_content(html: str, **_: object) -> str:
    """Turn references in docstrings into links: to the nearest object of that name on the page, or to its full name."""
    places = [(found.start(), found[1]) for found in re.finditer(r'id="(bluetusk[\w.]*)"', html)]

    def link(found: re.Match[str]) -> str:
        short, name = found.groups()
        here = max(((at, place) for at, place in places if at < found.start()), default=(0, ""))[1]
        named = [place for _, place in places if place == name or place.endswith(f".{name}")]
        target = max(named, key=lambda place: len(posixpath.commonprefix([place, here])), default=name)
        text = name.rpartition(".")[2] if short else name
        return f'<autoref identifier="{target}" optional><code>{text}</code></autoref>'

    html = html.replace(" - like</code>", "-like</code>")  # "path-like", which was read as a difference
    return re.sub(r"\[(\d)\]_", r"[\1]", ROLE.sub(link, html))


def on_post_page(output: str, page: Any, **_: object) -> str:
    """Name the language of a Chinese page: browsers choose the forms of characters by it, and readers the voice."""
    return output.replace('<html lang="en"', '<html lang="zh-CN"', 1) if page.file.src_uri.startswith("zh/") else output


def on_post_build(config: Any, **_: object) -> None:
    """Look through all pages, styles and drawings for what a browser would fetch from another host."""
    for path in Path(config.site_dir).rglob("*"):
        if path.suffix in {".html", ".css", ".svg"} and (found := ELSEWHERE.search(path.read_text("utf-8"))):
            raise PluginError(f"{path.relative_to(config.site_dir)} loads from elsewhere: {found[0][:200]}")
