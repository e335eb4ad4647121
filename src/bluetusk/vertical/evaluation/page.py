"""Builds the HTML of a report: every text is escaped here, and nothing in the page runs or is loaded."""

from __future__ import annotations

import html
import itertools
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from .words import Words

__all__ = [
    "INK",
    "LONGEST",
    "Html",
    "Stroke",
    "bar",
    "figure",
    "grid",
    "heading",
    "isolated",
    "page",
    "paragraph",
    "pill",
    "said",
    "scale_bar",
    "table",
    "text",
    "unbroken",
    "width",
]

INK = "#2f3a45"

LONGEST = 160  # characters of a name; a table gives the rest of the page to its numbers
_FONTS = (
    '"Noto Sans", "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", "DejaVu Sans", "PingFang SC", '
    '"Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", '
    '"WenQuanYi Micro Hei", "WenQuanYi Zen Hei", SimHei, "Droid Sans Fallback", sans-serif'
)
_STYLE = (
    """
:root { --ink: #2f3a45; --soft: #5b6671; --line: #dde2e7; --main: #0b6e4f; --event: #c0392b; --ground: #f6f8f9; }
* { box-sizing: border-box; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 14px/1.45 FONTS; overflow-wrap: break-word; }
main { max-width: 1120px; margin: 0 auto; padding: 26px 24px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; } p.sub { color: var(--soft); margin: 0 0 18px; }
h2 { font-size: 18px; line-height: 1.3; margin: 30px 0 8px; } h3 { font-size: 14.5px; margin: 16px 0 6px; }
h2, h3 { break-after: avoid; } p { margin: 0 0 8px; max-width: 92ch; } p.note { color: var(--soft); font-size: 13px; }
ul { margin: 0; padding-left: 20px; } li { margin: 0 0 4px; max-width: 92ch; } code { font-size: 93%; }
.tiles, .three, .two { display: grid; gap: 12px; margin: 10px 0; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(min(100%, 150px), 1fr)); }
.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); align-items: start; }
.tile, figure, .box { background: #fff; border: 1px solid var(--line); border-radius: 6px; min-width: 0; }
.tile { padding: 9px 12px; } .tile b { display: block; font-size: 24px; font-weight: 650; line-height: 1.3; }
.tile span { color: var(--soft); font-size: 12.5px; display: block; }
figure { margin: 0; padding: 9px 11px 7px; break-inside: avoid; } figcaption { font-weight: 600; font-size: 13.5px; }
figure small { color: var(--soft); font-size: 11.5px; display: block; } figure .x { text-align: right; }
figure svg { width: 100%; height: auto; display: block; } figure svg * { stroke-linejoin: round; }
.keys { display: flex; flex-wrap: wrap; gap: 0 12px; font-size: 11.5px; padding-top: 3px; }
.keys span { display: inline-flex; align-items: center; gap: 5px; } .keys svg { width: 24px; flex: none; }
.box { overflow-x: auto; padding: 1px 12px 3px; margin: 8px 0; } .box.half { max-width: 760px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px 4px 0; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; } tr { break-inside: avoid; }
tbody tr:last-child td { border-bottom: 0; } th:last-child, td:last-child { padding-right: 0; }
td { white-space: nowrap; } .text { text-align: left; white-space: normal; min-width: 90px; }
:lang(zh) th { word-break: keep-all; }
.short { text-align: left; } .line { white-space: nowrap; } bdi { overflow-wrap: anywhere; }
.ci { color: var(--soft); } .bar { display: inline-block; height: 10px; border-radius: 2px; background: var(--main); }
.scale { width: 60px; position: relative; height: 10px; display: inline-block; }
.scale i { position: absolute; top: 0; height: 10px; border-radius: 2px; }
.scale::after { content: ""; position: absolute; left: 50%; top: -2px; bottom: -2px; width: 1px; background: #aeb7c0; }
.minis { columns: 3 300px; column-gap: 12px; margin: 10px 0; }
.mini { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: 6px 10px 2px; margin: 0 0 12px; }
.mini { break-inside: avoid; font-size: 12px; } .mini b { display: block; } .mini > span { color: var(--soft); }
.mini table { font-size: 11.5px; } .mini th, .mini td { padding: 2px 5px 2px 0; } .mini .scale { width: 36px; }
.keep h3 { margin-top: 6px; }
.pill { display: inline-block; border: 1px solid currentColor; border-radius: 9px; padding: 0 7px; font-size: 11px; }
.pill { color: #8a4b00; }
footer { margin-top: 28px; color: var(--soft); font-size: 12px; } footer p { max-width: none; }
@media (max-width: 620px) {
  main { padding: 16px 12px 32px; } h1 { font-size: 22px; } table { font-size: 12px; } .ci { display: block; }
  th, td { padding-right: 6px; } th { font-size: 11px; } .box { padding: 1px 9px 3px; } .bar { display: none; }
  .text { min-width: 60px; } td.text + td.text { min-width: 42px; overflow-wrap: anywhere; }
  .stack thead { display: none; } .stack tr { display: block; padding: 4px 0; border-bottom: 1px solid var(--line); }
  .stack tr:last-child { border-bottom: 0; } .stack td { display: flex; border: 0; padding: 1px 0; }
  .stack td::before { content: attr(data-head); margin-right: auto; color: var(--soft); padding-right: 12px; }
  .stack td:first-child { font-weight: 600; } .stack td:first-child::before { content: none; }
  .stack .ci { display: inline; padding-left: 5px; }
}
@media print {
  @page { size: A4; margin: 12mm 12mm 13mm; @bottom-right {
    content: counter(page) " / " counter(pages); font: 7.5pt sans-serif; color: #5b6671; } }
  body { background: #fff; font-size: 8.6pt; line-height: 1.35; } main { padding: 0 1px; max-width: none; }
  h1 { font-size: 17pt; } h2 { font-size: 11.5pt; margin: 10pt 0 3pt; } h3 { font-size: 9.4pt; margin: 8pt 0 3pt; }
  p, li { margin-bottom: 3pt; max-width: none; } p.note, footer { font-size: 7.6pt; } p.sub { margin-bottom: 8pt; }
  .tiles, .three, .two { gap: 6pt; margin: 5pt 0; } .tile { padding: 4pt 7pt; } .tile b { font-size: 14pt; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(110pt, 1fr)); } .tile span { font-size: 7.4pt; }
  .three { grid-template-columns: repeat(3, 1fr); } .two { grid-template-columns: repeat(2, 1fr); }
  figure { padding: 4pt 5pt 3pt; } figcaption { font-size: 8pt; } figure small, .keys { font-size: 6.8pt; }
  .keys svg { width: 17pt; } .box { padding: 0 6pt 1pt; margin: 4pt 0; overflow: visible; break-inside: auto; }
  table { font-size: 7.8pt; } th, td { padding: 1.6pt 5pt 1.6pt 0; } .ci { display: inline; font-size: 92%; }
  .minis { columns: 3; column-gap: 6pt; }
  p:has(+ .minis), p:has(+ p + .minis), p:has(+ p + p + .minis), p:has(+ p + p + p + .minis) { break-after: avoid; }
  p:has(+ .box), p:has(+ .keep), p:has(+ .two) { break-after: avoid; }
  .mini { padding: 3pt 5pt 1pt; font-size: 7.4pt; margin-bottom: 6pt; } .mini table { font-size: 7pt; }
  .text { min-width: 54pt; } .mini .text { min-width: 54pt; } .keep h3 { margin-top: 2pt; }
  .mini th, .mini td { padding: 0.8pt 2.4pt 0.8pt 0; } .bar, .scale, .scale i { height: 6pt; }
  .pill { font-size: 6.6pt; }
  .scale { width: 36pt; } .mini .scale { width: 24pt; } thead { display: table-header-group; }
  p, li { orphans: 3; widows: 3; } .keep { break-inside: avoid; } footer { margin-top: 10pt; }
}
"""
).replace("FONTS", _FONTS)


class Stroke(NamedTuple):
    """How a line is drawn: a colour, a pattern that survives a printer without colours, a width.

    Attributes
    ----------
    color : str
    dash : tuple of float
        Lengths of strokes and gaps in points; empty for a solid line.
    width : float
    """

    color: str
    dash: tuple[float, ...] = ()
    width: float = 1.5


class Html(str):
    """A piece of a page that is HTML already; any other text is escaped when it is put into one."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a text as HTML; code between backticks is set as code.

    Examples
    --------
    >>> text("a < b"), text("run `verify`")
    ('a &lt; b', 'run <code>verify</code>')
    """
    if isinstance(value, Html):
        return value
    parts = html.escape(_plain(str(value))).split("`")
    if len(parts) % 2 == 0:
        return Html("`".join(parts))
    return Html("".join(f"<code>{part}</code>" if k % 2 else part for k, part in enumerate(parts)))


def _plain(given: str) -> str:
    """Return a text in which characters that show nothing, or turn the text around them, stand as their numbers."""

    def shown(c: str) -> str:
        if c in "\t\r\n":
            return " "
        hidden = unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        return f"[U+{ord(c):04X}]" if hidden else c

    return given if given.isprintable() else "".join(map(shown, given))


def isolated(value: object, most: int = LONGEST) -> Html:
    r"""Return a name that somebody chose: escaped, cut if it is very long, its direction of writing kept inside.

    Parameters
    ----------
    value : object
        The name.
    most : int
        The largest width, in Latin letters; a Chinese character is two wide.

    Examples
    --------
    >>> isolated("<b>"), isolated("a\u202eb")
    ('<bdi>&lt;b&gt;</bdi>', '<bdi>a[U+202E]b</bdi>')
    >>> isolated("abcdef", 4)
    '<bdi>abc…</bdi>'
    """
    return Html(f"<bdi>{html.escape(_cut(_plain(str(value)[: most + 1]), most))}</bdi>")


def said(value: object, most: int) -> Html:
    """Return a text as :func:`text` does, cut if it is very long: the names in it are as long as somebody made them."""
    return text(_cut(_plain(str(value)), most))


def width(given: str) -> int:
    """Return the width of a text in Latin letters; a Chinese character is two wide."""
    return sum(_widths(given))


def _widths(given: str) -> list[int]:
    return [2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in given]


def _cut(given: str, most: int) -> str:
    if width(given) <= most:
        return given
    ends = itertools.accumulate(_widths(given))
    return given[: sum(end < most for end in ends)] + "…"


def unbroken(value: object) -> Html:
    """Return a name that stays on one line."""
    return Html(f'<span class="line">{isolated(value)}</span>')


def heading(number: int, title: str) -> Html:
    """Return the heading of a section."""
    return Html(f"<h2>{number}. {text(title)}</h2>")


def paragraph(value: object, *, note: bool = False) -> Html:
    """Return a paragraph."""
    return Html(f"<p{' class=' + chr(34) + 'note' + chr(34) if note else ''}>{text(value)}</p>")


def pill(remark: str) -> Html:
    """Return a remark in a table."""
    return Html(f'<span class="pill">{text(remark)}</span>')


def bar(share: float, width: int = 110) -> Html:
    """Return a horizontal bar; `share` is of the longest one."""
    return Html(f'<span class="bar" style="width:{max(0.0, min(share, 1.0)) * width:.0f}px"></span>')


def scale_bar(value: float, most: float) -> Html:
    """Return a bar that grows from the middle: right and red for more events, left and green for fewer."""
    share = 50.0 * min(abs(value) / most, 1.0) if most else 0.0
    left = 50.0 if value >= 0 else 50.0 - share
    color = "var(--event)" if value >= 0 else "var(--main)"
    return Html(f'<span class="scale"><i style="left:{left:.1f}%;width:{share:.1f}%;background:{color}"></i></span>')


def table(
    header: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    left: Sequence[int] = (0,),
    short: Sequence[int] = (),
    half: bool = False,
    bare: bool = False,
    stack: bool = False,
) -> Html:
    """Return a table.

    Parameters
    ----------
    header : sequence
        Heads of the columns; none for a table of pairs.
    rows : sequence of sequence
        Cells.
    left : sequence of int
        Columns of text, which may wrap; the others hold numbers.
    short : sequence of int
        Columns of text that stays on one line.
    half : bool
        Whether the table needs no more than two thirds of a page.
    bare : bool
        Whether it stands in a box already.
    stack : bool
        Whether each row becomes a list, with the heads before the values, where the page is narrow.
    """
    kinds = ["text" if k in left else "short" if k in short else "" for k in range(max(map(len, [header, *rows])))]
    named = [f' class="{kind}"' if kind else "" for kind in kinds]
    heads = [f' data-head="{html.escape(_plain(str(each)))}"' for each in header] if stack else [""] * len(kinds)

    def line(tag: str, cells: Sequence[object]) -> str:
        parts = zip(named, heads, cells, strict=False)
        inner = (f"<{tag}{kind}{head if tag == 'td' else ''}>{text(cell)}</{tag}>" for kind, head, cell in parts)
        return "<tr>" + "".join(inner) + "</tr>"

    top = f"<thead>{line('th', header)}</thead>" if header else ""
    kind = ' class="stack"' if stack else ""
    inner = f"<table{kind}>{top}<tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"
    return Html(inner if bare else f'<div class="box{" half" if half else ""}">{inner}</div>')


def figure(
    caption: object,
    drawing: str,
    *,
    x: str,
    y: str,
    keys: Sequence[tuple[object, Stroke]] = (),
) -> Html:
    """Return a chart with its caption, the names of its axes and of its lines."""
    named = "".join(f"<span>{_key(stroke)}{text(label)}</span>" for label, stroke in keys)
    return Html(
        f"<figure><figcaption>{text(caption)}</figcaption><small>{text(y)}</small>{drawing}"
        f'<small class="x">{text(x)}</small>' + (f'<div class="keys">{named}</div>' if named else "") + "</figure>"
    )


def _key(stroke: Stroke) -> str:
    dashes = f' stroke-dasharray="{" ".join(f"{1.5 * each:g}" for each in stroke.dash)}"' if stroke.dash else ""
    return (
        '<svg viewBox="0 0 24 8" aria-hidden="true"><path d="M0 4H24" fill="none" '
        f'stroke="{stroke.color}" stroke-width="{1.35 * stroke.width:.3g}"{dashes}/></svg>'
    )


def grid(kind: str, parts: Sequence[str]) -> Html:
    """Return parts side by side, as many as the page is wide enough for."""
    return Html(f'<div class="{kind}">{"".join(parts)}</div>')


def page(words: Words, title: str, parts: Sequence[str]) -> bytes:
    """Return the whole file. A browser loads and runs nothing in it, whatever the parts hold."""
    lang = {"zh": "zh-CN"}.get(words.lang, words.lang)
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8"><title>{html.escape(_plain(title))}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>\n{chr(10).join(parts)}\n</main></body></html>\n"
    ).encode()
