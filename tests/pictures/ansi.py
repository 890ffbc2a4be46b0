"""Text with ANSI styles, as lines of runs, and as an SVG picture."""

import html
import re
from dataclasses import dataclass

# Colours that can be read on the background: (light, dark). The names are those of the ANSI codes 30 to 37.
COLOURS = {
    "text": ("#1f2328", "#e6edf3"),
    "back": ("#ffffff", "#0d1117"),
    "edge": ("#d1d9e0", "#30363d"),
    "red": ("#cf222e", "#ff7b72"),
    "green": ("#1a7f37", "#3fb950"),
    "yellow": ("#9a6700", "#d29922"),
    "blue": ("#0969da", "#58a6ff"),
    "magenta": ("#8250df", "#bc8cff"),
    "cyan": ("#1b7c83", "#39c5cf"),
    "faint": ("#6e7781", "#8b949e"),
}
CODES = {31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "magenta", 36: "cyan"}
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
OTHER = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b\][^\x07]*\x07|\x1b[=>()][B0]?|[\x00-\x09\x0b-\x1a]")

# Pixels.
CHAR, LINE, SIZE, MARGIN = 8.43, 19, 14, 16


@dataclass(frozen=True)
class Style:
    colour: str = "text"
    bold: bool = False
    faint: bool = False


def lines(text: str) -> list[list[tuple[str, Style]]]:
    """The lines, each as runs of text of one style."""
    result, style = [[]], Style()
    for index, part in enumerate(ESCAPE.split(OTHER.sub("", text))):
        if index % 2:
            style = restyled(style, [int(code or 0) for code in part.split(";")])
            continue
        for number, piece in enumerate(part.split("\n")):
            if number:
                result.append([])
            if piece:
                result[-1].append((piece, style))
    return result


def restyled(style: Style, codes: list[int]) -> Style:
    """The style after the codes of one escape sequence (ECMA-48, SGR)."""
    for code in codes:
        if code == 0:
            style = Style()
        elif code == 1:
            style = Style(style.colour, True, style.faint)
        elif code == 2:
            style = Style(style.colour, style.bold, True)
        elif code == 22:
            style = Style(style.colour)
        elif code == 39:
            style = Style("text", style.bold, style.faint)
        elif code % 60 in CODES and code // 60 in (0, 1):
            style = Style(CODES[code % 60], style.bold, style.faint)
    return style


def svg(text: str, columns: int, dark: bool) -> str:
    """A picture of a terminal with this text."""
    shown = lines(text.strip("\n"))
    width, height = columns * CHAR + 2 * MARGIN, len(shown) * LINE + 2 * MARGIN
    colour = {name: pair[dark] for name, pair in COLOURS.items()}
    rows = []
    for row, runs in enumerate(shown):
        column, spans = 0, []
        for run, style in runs:
            name = "faint" if style.faint and style.colour == "text" else style.colour
            weight = ' font-weight="bold"' if style.bold else ""
            x = MARGIN + column * CHAR
            spans.append(f'<tspan x="{x:.2f}" fill="{colour[name]}"{weight}>{html.escape(run, quote=False)}</tspan>')
            column += len(run)
        rows.append(f'<text y="{MARGIN + row * LINE + SIZE}">{"".join(spans)}</text>')
    body = "\n".join(rows)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">
<style>text {{ font: {SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }}</style>
<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8" fill="{colour["back"]}" stroke="{colour["edge"]}"/>
{body}
</svg>
"""


def text_of(picture: str) -> str:
    """The text in a picture that `svg` made."""
    rows = re.findall(r"<text [^>]*>(.*?)</text>", picture)
    return "\n".join(html.unescape(re.sub(r"<[^>]*>", "", row)) for row in rows)
