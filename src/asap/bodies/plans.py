"""The subject of an image: category, framing, pose, gesture and object, sampled from the five HAF categories."""

from dataclasses import dataclass

import numpy as np

from asap.bodies.gestures import COUNTED, FINGERS_UP, GESTURES
from asap.core.vocabulary import CATEGORIES

VIEWS = ("hand", "foot", "face", "bust", "full")
SELF_POSES = ("arms crossed", "hands clasped", "chin on hand", "hands on hips", "hand on chest")
FULL_POSES = ("standing", "walking", "sitting", "reaching up", "leaping", "squatting", "arms spread", "arms raised")
OBJECTS = ("stick", "cup", "ball", "box")
BUST_GESTURES = ("thumbs up", "victory sign", "open palm", "pointing", "fist", "ok sign")
OBJECT_COLOURS = ("red", "blue", "green", "yellow", "white")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sampled subject of one image; fields that do not apply are empty strings."""

    category: str
    view: str
    pose: str = ""
    gesture: str = ""
    fingers: int = -1
    """Extended fingers, or -1 if the image is not about their number."""
    variant: int = 0
    side: str = "L"
    palm: bool = True
    """Whether the camera sees the palm (True) or the back of the hand."""
    thing: str = ""
    thing_colour: str = ""


def sample_plan(rng: np.random.Generator, category: str | None = None) -> Plan:
    """Sample a plan of ``category``, or of any category with equal probability."""
    kind = category or str(rng.choice(CATEGORIES))
    side, palm = str(rng.choice(["L", "R"])), bool(rng.random() < 0.6)
    chance = float(rng.random())
    if kind == "basic_anatomy":
        return _basic(rng, chance, side, palm)
    if kind == "semantic_gesture":
        view = "hand" if chance < 0.65 else "bust"
        gesture = str(rng.choice(list(GESTURES) if view == "hand" else list(BUST_GESTURES)))
        return Plan(
            category=kind, view=view, gesture=gesture, fingers=FINGERS_UP.get(gesture, -1), side=side, palm=palm
        )
    if kind == "self_interaction":
        return Plan(category=kind, view="bust", pose=str(rng.choice(SELF_POSES)), side=side)
    if kind == "object_interaction":
        view = "hand" if chance < 0.55 else "bust"
        thing = str(rng.choice(OBJECTS if view == "hand" else ("cup", "ball", "stick")))
        colour = str(rng.choice(OBJECT_COLOURS))
        return Plan(category=kind, view=view, thing=thing, thing_colour=colour, side=side, palm=palm)
    if kind == "full_body":
        return Plan(category=kind, view="full", pose=str(rng.choice(FULL_POSES)), side=side)
    raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, got {kind!r}")


def _basic(rng: np.random.Generator, chance: float, side: str, palm: bool) -> Plan:
    if chance < 0.7:
        fingers = int(rng.integers(0, 6))
        variant = int(rng.integers(0, len(COUNTED[fingers])))
        return Plan(category="basic_anatomy", view="hand", fingers=fingers, variant=variant, side=side, palm=palm)
    return Plan(category="basic_anatomy", view="face" if chance < 0.9 else "foot", side=side)
