"""Prompts for inpainting. The paper names no prompts, so all of them are our choice.

A prompt starts with the fault and ends with the caption, because text encoders with 77 tokens cut the end. The negative
prompt names correct anatomy, because models of photographs tend towards it. The prompt does not guarantee the result;
the screens check it.
"""

from types import MappingProxyType
from typing import Final

from asap.core.records import Edit

__all__ = ["STRENGTHS", "fault_prompt", "faults", "negative_prompt", "plain_prompt"]

STRENGTHS: Final = MappingProxyType({1: 0.55, 2: 0.75, 3: 0.95})
"""How much of the part is discarded at each severity: at 1 its outline stays, at 3 almost nothing."""

_DEGREE: Final = MappingProxyType({1: "slightly", 2: "clearly", 3: "grossly"})
_FAULTS: Final = MappingProxyType(
    {
        "hand": (
            "malformed hand with six fingers",
            "malformed hand with three fingers",
            "malformed hand with fused fingers",
            "malformed hand with crooked, bent fingers",
            "malformed hand with fingers of wrong length",
            "mangled hand with tangled fingers",
        ),
        "arm": (
            "malformed arm with a bend where no joint is",
            "malformed arm with the elbow bent backwards",
            "arm of wrong length",
            "malformed, swollen arm",
            "twisted arm that joins the body wrongly",
        ),
        "leg": (
            "malformed leg with a bend where no joint is",
            "malformed leg with the knee bent backwards",
            "leg of wrong length",
            "malformed, swollen leg",
            "twisted leg that joins the body wrongly",
        ),
        "foot": (
            "malformed foot with six toes",
            "malformed foot with fused toes",
            "foot that points backwards",
            "mangled, shapeless foot",
        ),
        "face": (
            "distorted face with misaligned eyes",
            "distorted face with a crooked mouth",
            "distorted, asymmetric face",
            "melted face with smeared features",
        ),
        "torso": ("malformed, twisted torso", "torso of wrong proportions", "torso with a second waist"),
        "neck": ("malformed, bent neck", "neck of wrong length", "twisted neck that joins the head wrongly"),
    }
)
_CORRECT: Final = MappingProxyType(
    {
        "hand": "well-formed hand, five fingers, natural fingers",
        "arm": "well-formed arm, natural proportions",
        "leg": "well-formed leg, natural proportions",
        "foot": "well-formed foot, five toes",
        "face": "well-formed, symmetric face",
        "torso": "well-formed torso, natural proportions",
        "neck": "well-formed neck, natural proportions",
    }
)
_OPERATIONS: Final = MappingProxyType(
    {
        "extra": "with one too many",
        "missing": "with one missing",
        "fused": "with fused parts",
        "duplicated": "doubled",
        "elongated": "far too long",
        "shortened": "far too short",
        "reversed_joint": "with a joint bent the wrong way",
        "detached": "not joined to the body",
        "swapped_side": "of the wrong side",
        "misshapen": "misshapen",
        "thickened": "swollen",
        "twisted": "twisted",
        "split": "split in two",
    }
)


def faults(part: str) -> tuple[str, ...]:
    """The phrases from which the fault of ``part`` is sampled; ``KeyError`` for an unknown part."""
    return _FAULTS[part]


def fault_prompt(fault: str, severity: int, caption: str) -> str:
    """A photograph with ``fault`` and its degree, followed by the caption."""
    return ", ".join(text for text in ("photograph", fault, f"{_DEGREE[severity]} deformed", caption.strip()) if text)


def negative_prompt(part: str) -> str:
    """Correct anatomy of ``part``."""
    return f"{_CORRECT[part]}, correct anatomy"


def plain_prompt(caption: str, edit: Edit | None = None) -> str:
    """The caption; with ``edit``, also its fault, for an inpainter that takes maps."""
    subject = caption.strip() or "a photograph of a person"
    if edit is None:
        return subject
    phrase = "" if edit.operation == "none" else _OPERATIONS.get(edit.operation, edit.operation.replace("_", " "))
    return f"{edit.part} {phrase}".strip() + f", {subject}"
