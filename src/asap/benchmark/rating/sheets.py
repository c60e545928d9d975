"""Contact sheets for blind rating away from the browser: images under numbers, and the votes that come back.

A sheet shows nothing but a number and the prompt. What is behind a number stands in a key that raters do not see. A
vote is one line of JSON:

    one image    {"k": 0, "answer": "right" | "wrong" | "cannot_tell", "parts": ["hand"], "box": [x0, y0, x1, y1]}
    two images   {"k": 0, "left": "right" | "wrong" | "cannot_tell", "right": ..., "better": "left" | "right" | "tie"}

``parts`` and ``box`` (around the error, in shares of the image from 0 to 1) belong to the answer wrong and may be left
out, and so may "why", a remark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from asap.benchmark.rating.answers import ANSWERS
from asap.core.records import ByteArray
from asap.core.vocabulary import PARTS

__all__ = ["BETTER", "SheetItem", "draw_sheets", "read_vote"]

BETTER: Final = ("left", "right", "tie")
ROWS: Final = 3
COLUMNS: Final = 4
"""Images across a sheet; two of one item count as two."""
LINE: Final = 60
"""Characters of the prompt in a line; two lines are shown."""
HEAD: Final = 34
"""Pixels above an image, for its number and prompt."""


@dataclass(frozen=True, kw_only=True)
class SheetItem:
    """One number on a sheet."""

    number: int
    prompt: str
    images: tuple[ByteArray, ...]
    """One, or two side by side: (H, W, 3) uint8."""


def draw_sheets(items: Sequence[SheetItem], side: int) -> list[ByteArray]:
    """Items in rows on as many sheets as they need; each image is scaled to a square of ``side`` pixels."""
    wide = max((len(item.images) for item in items), default=1)
    columns = COLUMNS // wide
    cell = (wide * (side + 4) + 6, side + HEAD + 6)
    sheets = []
    for start in range(0, len(items), columns * ROWS):
        some = items[start : start + columns * ROWS]
        sheet = Image.new("RGB", (columns * cell[0], -(-len(some) // columns) * cell[1]), "white")
        pen = ImageDraw.Draw(sheet)
        for place, item in enumerate(some):
            x, y = (place % columns) * cell[0], (place // columns) * cell[1]
            text = item.prompt.encode("ascii", "replace").decode()  # what every font has
            pen.text((x + 2, y + 2), f"#{item.number}  {text[:LINE]}", fill="black")
            pen.text((x + 2, y + 16), text[LINE : 2 * LINE + 10], fill="black")
            for column, pixels in enumerate(item.images):
                image = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
                sheet.paste(image, (x + 2 + column * (side + 4), y + HEAD))
        sheets.append(np.asarray(sheet))
    return sheets


def read_vote(given: Mapping[str, Any], *, pair: bool) -> dict[str, Any]:
    """Check one vote; raises ``ValueError`` with the first fault."""
    if pair:
        sides = {name: _answer(given, name) for name in ("left", "right")}
        if given.get("better") not in BETTER:
            raise ValueError(f"better must be one of {', '.join(BETTER)}, got {given.get('better')!r}")
        return {**sides, "better": given["better"], "why": str(given.get("why", ""))}
    answer, parts = _answer(given, "answer"), given.get("parts", [])
    if not isinstance(parts, list) or not all(part in PARTS for part in parts):
        raise ValueError(f"parts must be a list of {', '.join(PARTS)}, got {parts!r}")
    box = given.get("box")
    if answer != "wrong" and (parts or box is not None):
        raise ValueError(f"parts and box belong to the answer wrong, the answer is {answer}")
    if box is not None and not _is_box(box):
        raise ValueError(f"box must be [x0, y0, x1, y1] in shares of the image with x0 < x1 and y0 < y1, got {box!r}")
    listed = sorted(set(parts), key=PARTS.index)
    return {"answer": answer, "parts": listed, "box": box, "why": str(given.get("why", ""))}


def _answer(given: Mapping[str, Any], name: str) -> str:
    if given.get(name) not in ANSWERS:
        raise ValueError(f"{name} must be one of {', '.join(ANSWERS)}, got {given.get(name)!r}")
    return str(given[name])


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4 or not all(type(edge) in (int, float) for edge in box):
        return False
    x0, y0, x1, y1 = box
    return bool(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1)
