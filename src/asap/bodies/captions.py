"""Captions from a small grammar, generated from the parameters of the image."""

import numpy as np

from asap.bodies.people import Person
from asap.bodies.plans import Plan
from asap.core.hashing import digest_json

NUMBERS = ("no", "one", "two", "three", "four", "five")
RESERVED_SHARE = 8
"""One of this many combinations of attributes is reserved for the evaluation suite and never used for training."""


def attributes(plan: Plan, person: Person, backdrop: str, backdrop_colour: str) -> dict[str, str]:
    """The facts of the caption by name; absent facts are empty strings."""
    wears = plan.view in ("bust", "full", "face")
    return {
        "category": plan.category,
        "view": plan.view,
        "skin": person.skin,
        "gender": ("woman" if person.woman else "man") if wears else "",
        "hair": person.hair if wears else "",
        "shirt": person.shirt if wears else "",
        "trousers": person.trousers if plan.view == "full" else "",
        "background": backdrop_colour,
        "backdrop": backdrop,
        "pose": plan.pose,
        "gesture": plan.gesture,
        "fingers": NUMBERS[plan.fingers] if plan.view == "hand" and plan.fingers >= 0 else "",
        "palm": ("palm" if plan.palm else "back") if plan.view == "hand" else "",
        "object": f"{plan.thing_colour} {plan.thing}".strip(),
    }


def caption(facts: dict[str, str], rng: np.random.Generator) -> str:
    """One sentence for ``facts``; ``rng`` chooses between equivalent wordings."""
    start = str(rng.choice(["a photo of", "a picture of", ""]))
    ground = f"{facts['backdrop']} {facts['background']} background"
    middle = _hand(facts) if facts["view"] == "hand" else _body(facts)
    return f"{start} {middle}, {ground}".strip()


def reserved(facts: dict[str, str]) -> bool:
    """Whether this combination is reserved for the suite. The wording and the pattern of the backdrop do not count."""
    key = {name: value for name, value in facts.items() if name != "backdrop"}
    return int(digest_json(key)[:8], 16) % RESERVED_SHARE == 0


def _hand(facts: dict[str, str]) -> str:
    hand = f"a {facts['skin']} hand"
    view = "palm side" if facts["palm"] == "palm" else "back side"
    if facts["gesture"]:
        return f"{hand} showing {facts['gesture']}, {view}"
    if facts["object"]:
        return f"{hand} holding a {facts['object']}, {view}"
    count = facts["fingers"]
    return f"{hand} holding up {count} finger{'' if count == 'one' else 's'}, {view}"


def _body(facts: dict[str, str]) -> str:
    if facts["view"] == "foot":
        return f"a {facts['skin']} bare foot"
    who = f"a {facts['gender']} with {facts['skin']} skin and {facts['hair']} hair in a {facts['shirt']} shirt"
    if facts["view"] == "face":
        return f"portrait of {who}"
    if facts["view"] == "full":
        return f"full body of {who} and {facts['trousers']} trousers, {facts['pose']}"
    if facts["gesture"]:
        return f"{who} showing {facts['gesture']}"
    if facts["object"]:
        return f"{who} holding a {facts['object']}"
    return f"{who}, {facts['pose']}"
