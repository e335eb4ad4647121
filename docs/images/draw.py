"""Draws the sequence diagrams of the documents: plain SVG files beside this program, or in a folder that is named.

    python docs/images/draw.py [FOLDER]

A diagram is a list of lines. ``("A>B", name, text)`` is a message from A to B, ``("A=B", name, text)`` one in each
direction, ``("A", text)`` a note at A, ``("", text)`` a heading across the picture. Colours follow the reader's light
or dark setting; the background is the picture's own, so that text is legible wherever it is shown.
"""

from __future__ import annotations

import sys
import textwrap
from html import escape
from pathlib import Path

WIDTH, MARGIN, LINE = 480, 12, 18  # a phone shows 480 units on some 340 pixels
LANE = 72  # of the first party's line from the left edge, and of the last one's from the right
CHARACTER = 7.4  # width of an average character, in units

STYLE = """
  text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: #1a1a2e }
  .ground { fill: #ffffff } .who, .band { fill: #e6e9f5 } .note { fill: #fff3d1 } .lane { stroke: #9aa0b5 }
  .arrow { stroke: #303f9f; stroke-width: 2 } .head { fill: #303f9f } .name { font-weight: 700; fill: #303f9f }
  .bold { font-weight: 700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8e8f0 } .ground { fill: #1e2129 } .who, .band { fill: #333a52 } .note { fill: #4a4025 }
    .lane { stroke: #6b7187 } .arrow { stroke: #9fa8ff } .head, .name { fill: #9fa8ff }
  }
"""

Line = tuple[str, ...]


def wrapped(text: str, most: int) -> list[str]:
    """Cut a text into as few lines as can be, of about the same length."""
    count = len(textwrap.wrap(text, most))
    return next(lines for width in range(1, most + 1) if len(lines := textwrap.wrap(text, width)) <= count)


class Diagram:
    """One picture, drawn from the top down.

    Parameters
    ----------
    title : str
        What it shows.
    parties : dict of str to str
        Letter and name of each party, from left to right.
    lines : list of tuple
        As the description of this file says.
    """

    def __init__(self, title: str, parties: dict[str, str], lines: list[Line]) -> None:
        self.title, self.parties, self.lines = title, parties, lines
        step = (WIDTH - 2 * LANE) / (len(parties) - 1)
        self.x = {letter: LANE + step * i for i, letter in enumerate(parties)}
        self.y = 0.0
        self.out: list[str] = []

    def svg(self) -> str:
        """Return the picture."""
        self.y = MARGIN + 30.0
        top = self.y
        for kind, *words in self.lines:
            if len(words) == 2:
                self._message(kind, *words)
            elif kind:
                self._note(kind, words[0])
            else:
                self._heading(words[0])
        height = round(self.y + MARGIN)
        lanes = [
            f'<line class="lane" x1="{x:g}" y1="{top:g}" x2="{x:g}" y2="{height - MARGIN}"/>' for x in self.x.values()
        ]
        heads = [self._box(letter, name) for letter, name in self.parties.items()]
        told = " ".join(self._told(*line) for line in self.lines)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                f'height="{height}" role="img" aria-labelledby="title desc">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(told)}</desc>',
                f"<style>{STYLE}</style>",
                f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
                *lanes,
                *heads,
                *self.out,
                "</svg>\n",
            ]
        )

    def _told(self, kind: str, *words: str) -> str:
        """Return a line in words, for whoever cannot see the picture."""
        if len(words) == 1:
            return f"{self.parties[kind]}: {words[0]}." if kind else f"{words[0]}:"
        a, way, b = kind
        name = f"{words[0]}: " if words[0] else ""
        between = f"{self.parties[a]} and {self.parties[b]}, to each other" if way == "=" else ""
        return f"{between or f'{self.parties[a]} to {self.parties[b]}'}: {name}{words[1]}."

    def _box(self, letter: str, name: str) -> str:
        wide = min(WIDTH / len(self.parties) - 8, len(name) * CHARACTER * 1.1 + 24)
        x = self.x[letter]
        return (
            f'<rect class="who" x="{x - wide / 2:g}" y="{MARGIN}" width="{wide:g}" height="30" rx="6"/>'
            f'<text class="bold" x="{x:g}" y="{MARGIN + 20}" text-anchor="middle">{escape(name)}</text>'
        )

    def _heading(self, text: str) -> None:
        self.y += 14
        self.out.append(f'<rect class="band" x="4" y="{self.y:g}" width="{WIDTH - 8}" height="26" rx="4"/>')
        self.out.append(
            f'<text class="bold" x="{WIDTH / 2:g}" y="{self.y + 18:g}" text-anchor="middle">{escape(text)}</text>'
        )
        self.y += 26

    def _note(self, letter: str, text: str) -> None:
        lines = wrapped(text, 26)
        wide = max(map(len, lines)) * CHARACTER + 20
        x = min(max(self.x[letter], wide / 2 + 4), WIDTH - wide / 2 - 4)
        self.y += 12
        high = len(lines) * LINE + 8
        self.out.append(
            f'<rect class="note" x="{x - wide / 2:g}" y="{self.y:g}" width="{wide:g}" height="{high}" rx="4"/>'
        )
        for i, line in enumerate(lines):
            y = self.y + LINE * (i + 1) - 1
            self.out.append(f'<text x="{x:g}" y="{y:g}" text-anchor="middle">{escape(line)}</text>')
        self.y += high

    def _message(self, kind: str, name: str, text: str) -> None:
        a, way, b = kind
        left, right = sorted((self.x[a], self.x[b]))
        middle = (left + right) / 2
        crosses = len(self.parties) > 2  # a label may cross a party's line
        room = max(right - left, 2 * min(middle, WIDTH - middle) - 48 if crosses else 0) - 12
        self.y += 6
        for line in ([name] if name else []) + wrapped(text, int(room / CHARACTER)):
            self.y += LINE
            style = ' class="name"' if line == name else ""
            if crosses:
                wide = len(line) * CHARACTER + 8
                x, y = middle - wide / 2, self.y - 14
                self.out.append(f'<rect class="ground" x="{x:g}" y="{y:g}" width="{wide:g}" height="{LINE}"/>')
            self.out.append(f'<text{style} x="{middle:g}" y="{self.y:g}" text-anchor="middle">{escape(line)}</text>')
        self.y += 10
        y, start, end = self.y, self.x[a], self.x[b]
        inward = 8 if end > start else -8
        begin = start + inward if way == "=" else start
        self.out.append(f'<line class="arrow" x1="{begin:g}" y1="{y:g}" x2="{end - inward:g}" y2="{y:g}"/>')
        self.out.append(f'<path class="head" d="M{end:g} {y:g}l{-inward * 1.4:g} -5v10z"/>')
        if way == "=":
            self.out.append(f'<path class="head" d="M{start:g} {y:g}l{inward * 1.4:g} -5v10z"/>')


TWO = {"G": "guest (labels)", "H": "host"}

DIAGRAMS = {
    "paillier-sum": Diagram(
        "A sum with a key holder: one round",
        {"C": "clients", "A": "aggregator", "K": "key holder"},
        [
            ("", "once: all agree on the session"),
            ("K>A", "session", "public key, plans, clients"),
            ("K>C", "session", "the same bytes"),
            ("", "every round"),
            ("C>A", "contribution", "values times weight, and the weight, encrypted; signed"),
            ("A", "checks each, adds it, leaves out what fails"),
            ("A>K", "total", "the encrypted sum; every client's signature"),
            ("K", "checks the signatures, notes the sum on disk, decrypts it"),
            ("K>C", "result", "sum, sum of the weights, who is in it"),
        ],
    ),
    "secagg": Diagram(
        "Secure aggregation: one round, phase by phase",
        {"C": "each client", "S": "server"},
        [
            ("", "phase advertise"),
            ("C>S", "advertise", "two fresh public keys, a hash of a random seed; signed"),
            ("S>C", "roster", "the keys of all clients, and the server's"),
            ("", "phase shares"),
            ("C>S", "shares", "for every holder a share of the mask key and one of the seed, encrypted for it"),
            ("S>C", "delivery", "who has shared; the shares that this client holds"),
            ("", "phase masked"),
            ("C>S", "masked", "the vector plus masks"),
            ("S", "adds the vectors"),
            ("", "phase consent: only if malicious=True"),
            ("S>C", "view", "who is in the sum"),
            ("C>S", "consent", "a signature on that"),
            ("", "phase unmask"),
            ("S>C", "request", "who is in the sum (if malicious=True, with the signatures)"),
            (
                "C>S",
                "reveal",
                "for each client in the sum a share of its seed, for each that dropped out one of its mask key",
            ),
            ("S", "restores the masks that are left, and takes them off the sum"),
        ],
    ),
    "logistic": Diagram(
        "Logistic regression of two parties: messages",
        TWO,
        [
            ("", "once"),
            (
                "G=H",
                "setup",
                "public key, number of rows and columns; from the guest settings and a seed",
            ),
            ("G>H", "values", "what each of the host's bins is worth, encrypted"),
            ("", "every batch of rows"),
            ("G=H", "weights", "the sender's shares of the receiver's weights, encrypted"),
            ("G=H", "scores", "rows times these weights, masked, under the receiver's key"),
            ("G=H", "residuals", "the sender's shares of the residuals, encrypted"),
            ("G=H", "gradients", "columns times these residuals, masked, under the receiver's key"),
            ("", "every epoch but the first"),
            ("G>H", "bits", "its share of the loss's change, bit by bit, encrypted"),
            ("H>G", "places", "one zero or none among random numbers, encrypted"),
            ("G=H", "sign", "shares of the answer: go on or stop"),
            ("", "at the end"),
            ("H>G", "points", "its shares of the points of the rows kept to calibrate"),
            ("G=H", "coefficients", "shares of the receiver's; only if both policies grant it"),
            ("", "prediction"),
            ("G>H", "rows", "public key, number of rows, which model"),
            ("H>G", "key", "public key"),
            ("G=H", "weights", "as in a batch"),
            ("G=H", "scores", "as in a batch"),
            ("H>G", "points", "its shares of the points"),
        ],
    ),
    "boosting": Diagram(
        "Boosted trees of two parties: messages",
        TWO,
        [
            ("", "once"),
            ("G>H", "offer", "number of rows, settings, public key with its proof"),
            ("H>G", "ready", "number of rows, of columns, of buckets at most"),
            ("", "every tree; by default the first is the guest's alone"),
            ("G>H", "gradients", "gradient and Hessian of every row, encrypted"),
            ("", "every level of the tree"),
            ("G>H", "level", "which nodes are to be split; which rows went left above"),
            ("H>G", "candidates", "sums left of each cut, in random order, encrypted"),
            ("G", "decrypts, compares with its own cuts"),
            ("G>H", "choice", "which of its sums won"),
            ("H>G", "partition", "which rows go left"),
            ("", "prediction"),
            ("G>H", "offer", "number of rows, which model"),
            ("H>G", "ready", "number of rows"),
            ("", "prediction, every level"),
            ("G>H", "ask", "which rows reach the host's splits"),
            ("H>G", "answer", "which of them go left"),
        ],
    ),
    "reveals": Diagram(
        "What a guest and a host send each other, stage by stage",
        TWO,
        [
            ("G=H", "", "settings, compared"),
            ("", "intersect"),
            ("G>H", "", "ids, blinded"),
            ("H>G", "", "its ids, blinded and mixed; the guest's, blinded twice"),
            ("G>H", "", "places of the common ids, and a proof that it has matched them"),
            ("", "split"),
            ("G=H", "", "commitment, then its part of a key"),
            ("", "binning"),
            ("G>H", "", "labels, encrypted"),
            ("H>G", "", "sums per bin, encrypted"),
            ("G>H", "", "that it goes on"),
            ("", "logistic regression, every batch"),
            ("G=H", "", "shares, encrypted"),
            ("G=H", "", "products, masked, encrypted"),
            ("", "logistic regression, every epoch but the first"),
            ("G>H", "", "bits of its share of the loss's change, encrypted"),
            ("H>G", "", "one zero or none among uniform numbers, encrypted"),
            ("G=H", "", "its share of the answer"),
            ("", "logistic regression, at the end"),
            ("H>G", "", "its shares of the points of the rows held back to calibrate"),
            ("", "boosting, every tree"),
            ("G>H", "", "gradients, encrypted"),
            ("", "boosting, every level of every tree"),
            ("G>H", "", "rows of the nodes"),
            ("H>G", "", "sums left of each cut, in random order, encrypted"),
            ("G>H", "", "which of them won"),
            ("H>G", "", "which rows go left"),
            ("", "prediction"),
            ("G>H", "", "how many rows; rows at the host's splits"),
            ("H>G", "", "its shares of the points; which rows go left"),
            ("", "evidence"),
            ("G=H", "", "signed head of its log"),
            ("", "kept"),
            ("G=H", "", "its results are on its disk"),
        ],
    ),
}


def main(folder: Path) -> None:
    """Write every picture."""
    for name, diagram in DIAGRAMS.items():
        (folder / f"{name}.svg").write_text(diagram.svg(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
