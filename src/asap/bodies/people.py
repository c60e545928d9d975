"""Identities: body shape, skin, hair and clothes of a person, and the resulting colour of every vertex."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from skimage.color import rgb2lab

from asap.bodies.rig import Rig
from asap.core.hashing import digest_json
from asap.core.records import FloatArray, IntArray
from asap.core.vocabulary import region_id

SKINS = {
    "pale": (238, 203, 184),
    "light": (222, 176, 146),
    "tan": (193, 138, 100),
    "brown": (137, 88, 58),
    "dark": (82, 52, 38),
}
HAIRS = {
    "black": (28, 24, 24),
    "brown": (84, 52, 32),
    "blond": (206, 168, 98),
    "grey": (150, 148, 146),
    "red": (150, 62, 28),
}
CLOTHES = {
    "red": (190, 40, 40),
    "blue": (44, 84, 170),
    "green": (48, 128, 66),
    "white": (232, 232, 230),
    "black": (34, 34, 38),
    "yellow": (220, 184, 52),
    "purple": (112, 58, 140),
}
SLEEVES = {"long-sleeved": 0.97, "short-sleeved": 0.3, "sleeveless": 0.07}
TROUSERS = {"trousers": 0.97, "shorts": 0.42}
_PAINTS = ("skin", "hair", "brow", "lip", "eye", "pupil", "shirt", "trousers", "shoe")
_SHOES = {"barefoot": None, "black": (30, 28, 28), "white": (225, 225, 225), "brown": (96, 62, 38)}


CLEAR_OF_BACKDROP = 30.0
"""Smallest distance in CIE Lab between any visible surface and the backdrop, in the scene ``clear``."""
CLEAR_OF_SKIN = 20.0
"""The same between skin and hair or clothes."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person. Equal ``uid`` means equal shape, skin, hair and clothes."""

    uid: str
    phenotype: dict[str, float]
    woman: bool
    skin: str
    hair: str
    shirt: str
    sleeves: str
    trousers: str
    legwear: str
    shoes: str
    tint: tuple[float, float, float]
    """Small factor on the skin colour, one per person."""


def sample_person(rng: np.random.Generator, uid: str) -> Person:
    """Sample an adult: every phenotype within the middle of Anny's range, every colour of the palettes."""
    gender = float(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.04), 0, 1))
    phenotype = {
        "gender": gender,
        "age": float(rng.uniform(0.62, 0.95)),
        "muscle": float(rng.uniform(0.3, 0.8)),
        "weight": float(rng.uniform(0.25, 0.75)),
        "height": float(rng.uniform(0.3, 0.75)),
        "proportions": float(rng.uniform(0.4, 0.9)),
    }
    words = {
        name: _pick(rng, palette)
        for name, palette in (
            ("skin", SKINS),
            ("hair", HAIRS),
            ("shirt", CLOTHES),
            ("sleeves", SLEEVES),
            ("trousers", CLOTHES),
            ("legwear", TROUSERS),
            ("shoes", _SHOES),
        )
    }
    red, green, blue = (1.0 + rng.normal(0, 0.03, 3)).tolist()
    return Person(
        uid=uid,
        phenotype=phenotype,
        woman=gender > 0.5,
        tint=(red, green, blue),
        **words,
    )


def _pick(rng: np.random.Generator, words: Iterable[str]) -> str:
    known = list(words)
    return known[int(rng.integers(len(known)))]


def person_uid(seed: int, identity_pool: str, number: int) -> str:
    """Stable id of person ``number``. Ids of different identity pools never coincide."""
    return f"{identity_pool}-{digest_json([seed, identity_pool, number])[:12]}"


def linear(rgb: tuple[int, int, int]) -> FloatArray:
    """Linear-light colour of an sRGB byte triple."""
    value = np.asarray(rgb, dtype=np.float32) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def colours_apart(person: Person, backdrop: tuple[int, int, int], *, shown: Sequence[str]) -> bool:
    """Whether no limb can vanish: ``shown`` surfaces differ from the backdrop, bare skin from clothes and hair.

    ``shown`` names the visible surfaces among skin, hair, shirt and trousers; ``backdrop`` is sRGB. Distances are
    Euclidean in CIE Lab (CIE76). Hair may have the colour of the shirt, because no limb lies between them.
    """
    rgb = {"skin": SKINS[person.skin], "hair": HAIRS[person.hair]}
    rgb |= {"shirt": CLOTHES[person.shirt], "trousers": CLOTHES[person.trousers]}
    names = [name for name in ("skin", "hair", "shirt", "trousers") if name in shown]
    lab = rgb2lab(np.array([backdrop, *(rgb[name] for name in names)], dtype=np.float64)[None] / 255.0)[0]
    from_backdrop = np.linalg.norm(lab[1:] - lab[0], axis=1)
    from_skin = np.linalg.norm(lab[2:] - lab[1], axis=1)
    return bool((from_backdrop >= CLEAR_OF_BACKDROP).all() and (from_skin >= CLEAR_OF_SKIN).all())


def paint_person(rig: Rig, person: Person) -> FloatArray:
    """Linear albedo (V, 3) of every vertex of ``person``."""
    skin = linear(SKINS[person.skin]) * np.asarray(person.tint, dtype=np.float32)
    hair = linear(HAIRS[person.hair])
    shoes = _SHOES[person.shoes]
    paints = {
        "skin": skin,
        "hair": hair,
        "brow": hair * 0.6 + skin * 0.2,
        "lip": skin * np.array([0.85, 0.5, 0.5], dtype=np.float32),
        "eye": np.full(3, 0.8, dtype=np.float32),
        "pupil": np.array([0.03, 0.02, 0.02], dtype=np.float32),
        "shirt": linear(CLOTHES[person.shirt]),
        "trousers": linear(CLOTHES[person.trousers]),
        "shoe": skin if shoes is None else linear(shoes),
    }
    palette = np.clip(np.array([paints[name] for name in _PAINTS]), 0.0, 1.0)
    return np.asarray(palette[_painted(rig, person.woman, person.sleeves, person.legwear)], dtype=np.float32)


@lru_cache(maxsize=32)
def _painted(rig: Rig, woman: bool, sleeves: str, legwear: str) -> IntArray:
    """(V,) index into ``_PAINTS`` for each vertex, the same for all people with this cut of hair and clothes."""
    out = np.zeros(len(rig.regions), dtype=np.int32)
    _paint_face(rig, woman, out)
    arm = np.isin(rig.regions, [region_id("arm.L"), region_id("arm.R")])
    leg = np.isin(rig.regions, [region_id("leg.L"), region_id("leg.R")])
    torso = rig.regions == region_id("torso")
    waist = rig.template.heads[rig.index["spine04"], 2]
    out[torso | arm & (rig.arm_along < SLEEVES[sleeves])] = _PAINTS.index("shirt")
    low = torso & (rig.template.vertices[:, 2] < waist)
    out[low | leg & (rig.leg_along < TROUSERS[legwear])] = _PAINTS.index("trousers")
    out[np.isin(rig.regions, [region_id("foot.L"), region_id("foot.R")])] = _PAINTS.index("shoe")
    return out


def _paint_face(rig: Rig, woman: bool, out: IntArray) -> None:
    at = rig.template.vertices
    labels = np.array(rig.labels)[rig.dominant]
    head = rig.regions == region_id("head")
    brow = float(rig.template.heads[rig.index["eye.L"], 2])
    hairline = (at[:, 2] > brow + 0.062 - 0.25 * np.clip(at[:, 1] + 0.12, 0.0, 0.2)) | (
        (at[:, 1] > -0.05) & (at[:, 2] > brow - (0.10 if woman else 0.045))
    )
    out[head & hairline & ~np.char.startswith(labels, "tongue")] = _PAINTS.index("hair")
    brows = (
        head
        & (np.abs(at[:, 2] - brow - 0.024) < 0.005)
        & (at[:, 1] < -0.12)
        & (np.abs(np.abs(at[:, 0]) - 0.033) < 0.018)
    )
    out[brows] = _PAINTS.index("brow")
    out[head & np.isin(labels, _lip_bones(rig))] = _PAINTS.index("lip")
    for side in "LR":
        ball = labels == f"eye.{side}"
        out[ball] = _PAINTS.index("eye")
        offset = at[ball] - at[ball].mean(axis=0)
        forward = -offset[:, 1] / np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
        out[np.flatnonzero(ball)[forward > 0.88]] = _PAINTS.index("pupil")


def _lip_bones(rig: Rig) -> list[str]:
    return [label for label in rig.labels if label.startswith(("oris01", "oris05", "oris03", "oris07"))]
