"""Takes the pictures of the report in the tutorial of two CSV files: run it again when the report has changed.

    python docs/images/report.py FOLDER [OUT]

FOLDER is that of the tutorial after step 6. The script has both sides deliver the finished job once more, in each
language, and takes the pictures with chromium. It needs Pillow, a font of Chinese characters with a bold face, and
the tutorial's passphrases.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

SECTIONS = {"report-models": (0, 2), "report-decisions": (3, 4)}  # from the title, or a section, to another
WIDTH = 1184  # of the page; its margins are cut off
LARGEST = 200_000  # bytes of a picture


def delivered(folder: Path, lang: str) -> str:
    """Return the bank's report in a language."""
    sides = []
    for name in ("network", "bank"):
        command = [sys.executable, "-m", "bluetusk", "party", "--config", "party.toml", "--progress", "none"]
        env = {**os.environ, "BLUETUSK_PASSPHRASE": f"a passphrase of the {name}"}
        command += ["--lang", lang]
        sides.append(subprocess.Popen(command, cwd=folder / name, env=env))  # noqa: S603 - our own command
    ended = [side.wait() for side in sides]
    if any(ended):
        raise SystemExit("a side has failed: is FOLDER that of the tutorial, after step 6?")
    return (folder / "bank" / "output" / "report.html").read_text(encoding="utf-8")


def part(page: str, first: int, last: int) -> str:
    """Return a page with some of its sections, and of the charts those of all models."""
    head, *sections = page.split("<h2>")
    start = head if first == 0 else head.partition("<h1>")[0]
    kept = [f"<h2>{each}" for each in sections if first <= int(each.partition(".")[0]) <= last]
    grids = re.split(r'(?=<div class="three">)', "".join(kept))
    return start + "".join(grids[:2]) + "</main></body></html>"


def picture(page: str, path: Path) -> None:
    """Write what a browser shows."""
    with tempfile.TemporaryDirectory() as work:
        source, shot = Path(work, "page.html"), Path(work, "shot.png")
        source.write_text(page, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},4000"]
        command = ["chromium", *options, f"--screenshot={shot}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a page that was just written
        whole = Image.open(shot).convert("RGB")
        ground = Image.new("RGB", whole.size, whole.getpixel((1, whole.height - 1)))
        box = ImageChops.difference(whole, ground).getbbox()
        assert box is not None
        ends = (max(box[0] - 16, 0), max(box[1] - 16, 0), box[2] + 16, box[3] + 16)
        whole.crop(ends).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {LARGEST}")


def main() -> None:
    """Take all pictures."""
    folder, *rest = map(Path, sys.argv[1:])
    out = rest[0] if rest else Path(__file__).parent
    for lang, ending in (("zh", ".zh.png"), ("en", ".png")):
        page = delivered(folder, lang)
        for name, (first, last) in SECTIONS.items():
            picture(part(page, first, last), out / f"{name}{ending}")


if __name__ == "__main__":
    main()
