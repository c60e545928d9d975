"""Sample scenes with people. Seed, identity pool and index determine the scene, independent of batches and order."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from asap.bodies.captions import attributes, caption, reserved
from asap.bodies.collisions import TOLERANCE, penetration
from asap.bodies.people import Person, colours_apart, paint_person, person_uid, sample_person
from asap.bodies.plans import Plan, sample_plan
from asap.bodies.poses import STREAMS, Poser
from asap.bodies.rig import Rest, Rig
from asap.bodies.scene import BACKDROPS, make_props, sample_background, sample_camera, sample_light
from asap.core.errors import AsapError
from asap.core.records import ByteArray, IntArray, PosedBody, Scene, SceneTruth
from asap.core.seeds import derive, generator
from asap.core.vocabulary import REGION_PART, REGIONS, region_id

PEOPLE = 4000
"""People per identity pool. An image samples one of them, so a person appears in several images."""
_ATTEMPTS = 12
_VIEW_PARTS = {
    "hand": ("hand",),
    "foot": ("foot",),
    "face": ("face", "neck"),
    "bust": ("face", "neck", "torso", "arm", "hand"),
    "full": ("face", "neck", "torso", "arm", "hand", "leg", "foot"),
}
_VISIBLE_SURFACES = {
    "hand": ("skin",),
    "foot": ("skin",),
    "face": ("skin", "hair", "shirt"),
    "bust": ("skin", "hair", "shirt"),
    "full": ("skin", "hair", "shirt", "trousers"),
}
_VISIBLE_SHARE = 0.003


@dataclass(frozen=True, kw_only=True)
class SampledScene:
    """One sampled scene before rendering, with everything needed to resample a part of it."""

    scene: Scene
    truth: SceneTruth
    person: Person
    plan: Plan
    rest: Rest
    streams: dict[str, int]
    attempts: int
    """Number of poses sampled until no limb penetrates another part."""


def sample_caption(seed: int, identity_pool: str, index: int) -> str:
    """Sample a caption of the grammar without its image, from the captions that are allowed in training."""
    for attempt in range(_ATTEMPTS * 3):
        rng = generator(seed, identity_pool, index, attempt)
        person = sample_person(rng, person_uid(seed, identity_pool, index))
        plan = sample_plan(rng)
        _, pattern, colour = sample_background(rng)
        facts = attributes(plan, person, pattern, colour)
        if not reserved(facts):
            return caption(facts, rng)
    raise AsapError(f"no caption outside the suite found for {identity_pool!r} {index}")


def sample_scene(
    rig: Rig,
    seed: int,
    identity_pool: str,
    index: int,
    *,
    category: str | None = None,
    held_out: bool = False,
    scene: str = "varied",
) -> SampledScene:
    """Sample scene ``index`` of ``identity_pool``.

    ``held_out`` selects captions reserved for the suite, else all others.

    ``scene`` is one of ``vocabulary.SCENES``. In the ``studio`` the background is plain, and camera and light vary
    little; people, poses and captions vary as elsewhere. ``clear`` is the studio with distinguishable colours
    (``people.colours_apart``).

    Raises ``AsapError`` if no pose without collision is found.
    """
    studio = scene != "varied"
    for attempt in range(_ATTEMPTS * (12 if held_out or scene == "clear" else 3) * (4 if scene == "clear" else 1)):
        rng = generator(seed, identity_pool, index, attempt)
        number = int(rng.integers(PEOPLE))
        uid = person_uid(seed, identity_pool, number)
        person = sample_person(generator(seed, identity_pool, "person", number), uid)
        plan = sample_plan(rng, category)
        background, pattern, colour = sample_background(rng, studio=studio)
        facts = attributes(plan, person, pattern, colour)
        if reserved(facts) != held_out or _camouflaged(facts):
            continue
        if scene == "clear" and not colours_apart(person, BACKDROPS[colour], shown=_VISIBLE_SURFACES[plan.view]):
            continue
        rest = rig.rest([person.phenotype])[0]
        streams = {name: derive(seed, identity_pool, index, attempt, name) for name in STREAMS}
        body = _body(rig, rest, person, plan, streams)
        if _collides(rig, body, plan, 0.02 if plan.view == "bust" else 0.01):
            continue
        camera = sample_camera(rig, rest, body, plan, rng, studio=studio)
        scene_record = Scene(
            body=body,
            props=make_props(rig, rest, body, plan, person),
            camera=camera,
            light=sample_light(rng, camera, studio=studio),
            background=background,
        )
        truth = SceneTruth(
            person=uid,
            category=plan.category,
            caption=caption(facts, rng),
            attributes=facts,
            visible_parts=_VIEW_PARTS[plan.view],
            seed=derive(seed, identity_pool, index),
        )
        return SampledScene(
            scene=scene_record, truth=truth, person=person, plan=plan, rest=rest, streams=streams, attempts=attempt + 1
        )
    raise AsapError(
        f"no pose without collision for image {index} of {identity_pool!r}; report the seed {seed} with this message"
    )


def resample_part(rig: Rig, drawn: SampledScene, part: str, side: str, seed: int) -> Scene | None:
    """The same person, caption, camera and light with another correct pose of ``part``, or None if none is found.

    ``part`` is one of ``vocabulary.PARTS``; ``side`` is left, right or none.
    """
    letter = {"left": "L", "right": "R"}.get(side, drawn.plan.side)
    names = {"hand": f"hand.{letter}", "arm": f"arm.{letter}", "leg": f"leg.{letter}", "foot": f"leg.{letter}"}
    name = names.get(part, "head" if part in ("face", "neck") else "torso")
    for attempt in range(_ATTEMPTS):
        streams = {**drawn.streams, name: derive(seed, "redraw", name, attempt)}
        body = _body(rig, drawn.rest, drawn.person, drawn.plan, streams)
        if _collides(rig, body, drawn.plan, 0.02):
            continue
        return replace(drawn.scene, body=body)
    return None


def visible_parts(truth: SceneTruth, regions: ByteArray) -> tuple[str, ...]:
    """Parts of ``truth.visible_parts`` that cover at least 0.3 % of the part-id map ``regions`` (H, W)."""
    counts = np.bincount(regions.ravel(), minlength=len(REGIONS)) / regions.size
    shares: dict[str, float] = {}
    for name, part in REGION_PART.items():
        shares[part] = max(shares.get(part, 0.0), float(counts[region_id(name)]))
    return tuple(part for part in truth.visible_parts if shares[part] >= _VISIBLE_SHARE)


def _collides(rig: Rig, body: PosedBody, plan: Plan, slack: float) -> bool:
    """Whether a limb penetrates deeper than ``TOLERANCE`` plus ``slack`` metres. Close-ups show one part only."""
    return plan.view in ("bust", "full") and penetration(rig, body) > TOLERANCE + slack


def _camouflaged(facts: dict[str, str]) -> bool:
    """Whether skin or clothes have the colour of the background, so that no outline is visible."""
    near = {"black": ("black", "dark"), "white": ("white", "pale")}.get(facts["background"], (facts["background"],))
    return any(facts[name] in near for name in ("skin", "shirt", "trousers"))


def _body(rig: Rig, rest: Rest, person: Person, plan: Plan, streams: dict[str, int]) -> PosedBody:
    rngs = {name: np.random.default_rng(value) for name, value in streams.items()}
    pose = Poser(rig, rest, plan, rngs).build()
    vertices, poses, tails = rig.pose(rest, pose)
    return PosedBody(
        vertices=vertices,
        faces=_faces(rig, plan.view, plan.side),
        colours=paint_person(rig, person if plan.view != "foot" else replace(person, shoes="barefoot")),
        regions=rig.regions,
        bone_indices=rig.bone_indices,
        bone_weights=rig.bone_weights,
        bone_labels=rig.labels,
        bone_parents=rig.parents,
        bone_poses=poses,
        bone_tails=tails,
    )


@lru_cache(maxsize=16)
def _faces(rig: Rig, view: str, side: str) -> IntArray:
    shown = {"hand": ("arm", "hand"), "foot": ("leg", "foot")}.get(view)
    if shown is None:
        return rig.faces
    keep = np.isin(rig.regions, [region_id(f"{name}.{side}") for name in shown])
    return rig.faces[keep[rig.faces].all(axis=1)]
