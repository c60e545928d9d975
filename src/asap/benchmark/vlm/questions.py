"""The questions: one per part, about a crop and the whole image, with a JSON schema of the reply."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asap.core.hashing import digest_json
from asap.core.vocabulary import PARTS

__all__ = ["CHECKS", "QUESTIONS", "PartView", "part_schema", "part_text", "part_views"]

SAID: Final = ("yes", "no", "cannot_tell")
VERDICTS: Final = ("right", "wrong", "cannot_tell")
GRID: Final = 1000
"""Boxes are in thousandths of the whole image's width and height."""
MARGIN: Final = 0.3
"""Margin of a crop, relative to the longer side of the part's box."""
MAX_CROPS: Final = 8
"""Per image."""

_LIMB: Final = {
    "extra": "Is there one more of it than a person has?",
    "missing": "Is it, or a piece of it, absent although nothing hides it?",
    "impossible_bend": "Is a joint bent in a direction or by an angle that no joint allows?",
    "wrong_proportion": "Is it, or a piece of it, far too long, short, thick or thin for this person?",
    "detached": "Is there a gap between it and the body, or does it grow from the wrong place?",
    "misshapen": "Does its outline or surface melt, twist or break up?",
}
CHECKS: Final[dict[str, dict[str, str]]] = {
    "hand": {
        "too_many_digits": "Counting each one, can more than four fingers and a thumb be seen on one hand?",
        "too_few_digits": "Is a finger or the thumb absent although nothing hides it and it is not folded away?",
        "fused_digits": "Do two digits run into each other without a gap or line between them?",
        "impossible_bend": "Is a digit or the wrist bent as no joint allows?",
        "wrong_proportion": "Is a digit far too long, short, thick or thin beside the others?",
        "wrong_side": "Is the thumb on the side where it cannot be for this arm?",
        "misshapen": "Does the hand melt, twist or break up?",
    },
    "arm": _LIMB,
    "leg": _LIMB,
    "foot": {
        "wrong_toes": "Can toes be counted, and are they not five?",
        "missing": "Is the foot absent although nothing hides it?",
        "wrong_direction": "Does it point where the ankle cannot turn it?",
        "wrong_proportion": "Is it far too long, short or thick for this person?",
        "misshapen": "Does it melt, twist or break up?",
    },
    "face": {
        "wrong_count": "Is there an eye, nose, mouth or ear too many, or one absent although nothing hides it?",
        "misplaced": "Is a feature where it cannot be on a face?",
        "wrong_proportion": "Is a feature far too large or small?",
        "misshapen": "Does a feature or the face's outline melt, smear or break up?",
    },
    "torso": {
        "wrong_proportion": "Is it far too long, short, wide or thin for this person?",
        "impossible_bend": "Is it bent or twisted as no spine allows?",
        "misshapen": "Does it melt, merge with something else or break up?",
    },
    "neck": {
        "wrong_proportion": "Is it far too long, short, thick or thin?",
        "impossible_bend": "Is the head turned further than a neck allows?",
        "detached": "Is there a gap between head and body, or is the head set on at the wrong place?",
        "misshapen": "Does it melt or break up?",
    },
}
"""For each part the visible defects that are asked about."""


@dataclass(frozen=True, kw_only=True)
class PartView:
    """One part of an image that a question is about."""

    part: str
    side: str = "none"
    box: tuple[int, int, int, int] | None = None
    """x0, y0, x1, y1 of the crop in pixels, end exclusive; None for the whole image."""

    @property
    def name(self) -> str:
        """The part, with its side if it has one."""
        return self.part if self.side == "none" else f"{self.side} {self.part}"


def part_views(
    found: Iterable[tuple[str, str, tuple[int, int, int, int]]], wanted: Sequence[str], shape: tuple[int, int]
) -> tuple[PartView, ...]:
    """The parts to ask about: the first ``MAX_CROPS`` that were found, then those wanted but not found.

    A wanted part that was not found is asked about without a crop, so that an image does not pass by hiding it.

    Args:
        found: (part, side, box) of each part that was found, the most important first.
        wanted: parts that the prompt asks to see.
        shape: (H, W) of the image.
    """
    crops = [PartView(part=part, side=side, box=_grown(box, shape)) for part, side, box in found if part in CHECKS][
        :MAX_CROPS
    ]
    found_parts = {view.part for view in crops}
    return (*crops, *(PartView(part=part) for part in wanted if part not in found_parts))


def _grown(box: tuple[int, int, int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box with its margin, inside an image of ``shape`` (H, W)."""
    x0, y0, x1, y1 = box
    room = round(MARGIN * max(x1 - x0, y1 - y0))
    return max(0, x0 - room), max(0, y0 - room), min(shape[1], x1 + room), min(shape[0], y1 + room)


def part_text(view: PartView, prompt: str) -> str:
    """The question in words."""
    shown = (
        "The picture shows a whole image."
        if view.box is None
        else f"The first picture is a crop around a {view.name}, the second the whole image that it was cut from."
    )
    checks = "\n".join(f"- {name}: {text}" for name, text in CHECKS[view.part].items())
    return (
        f"{shown} It was made by a program that may draw people wrongly. Report what can be seen of the "
        f"{view.name}; do not rely on what people usually look like.\n"
        f"1. visible: can enough of the {view.name} be seen to check it?\n"
        "2. checks: answer each with yes, no or cannot_tell. For every yes, and only then, give the box "
        f"[x0, y0, x1, y1] of the defect in thousandths (0 to {GRID}) of the whole image; otherwise null.\n{checks}\n"
        "3. verdict: wrong if a check is yes, right if it is visible and none is, cannot_tell otherwise.\n"
        "Ignore style, taste, clothes, light, and anything that does not touch the body. A drawing style, a prosthesis "
        f"or a part hidden by an object, the frame or another part is no defect.\nThe image was asked for as: {prompt}"
    )


def part_schema(part: str) -> dict[str, Any]:
    """JSON schema of the reply; properties stand in the order in which they are to be written."""
    box = {
        "anyOf": [
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": GRID},
                "minItems": 4,
                "maxItems": 4,
            },
            {"type": "null"},
        ]
    }
    check = _closed({"answer": {"type": "string", "enum": list(SAID)}, "box": box})
    return _closed(
        {
            "visible": {"type": "string", "enum": list(SAID)},
            "checks": _closed(dict.fromkeys(CHECKS[part], check)),
            "verdict": {"type": "string", "enum": list(VERDICTS)},
        }
    )


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


QUESTIONS: Final = digest_json(
    {part: [part_text(PartView(part=part, box=(0, 0, 1, 1)), ""), part_schema(part)] for part in PARTS}
)
"""Hash of everything that is asked; part of a judge's fingerprint."""
