"""Operations on faces: features shifted, swollen, melted, removed or copied, within the skin of the face."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.draw import polygon

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, Floats
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.detail import grain
from asap.degrade.photo.limb_warp import Composition
from asap.degrade.photo.poisson import clone, membrane
from asap.degrade.photo.sampling import Sampler, grid, pixels, smooth_noise
from asap.degrade.photo.window import Window

Flow = Callable[[Floats], Floats]
"""Maps places (M, 2) of the result to the places (M, 2) of the source."""

_EYES = {"right eye": range(36, 42), "left eye": range(42, 48)}
_MOUTH = range(48, 60)
_LIGHT = 45.0
"""Largest difference in grey levels between the skin around a feature and around its copy. Above it the copy looks
pasted.
"""


@dataclass(frozen=True, kw_only=True)
class Face:
    """The features of a face in a window."""

    points: Floats
    """(68, 2)."""
    right: Floats
    """(2,) unit vector from the person's right eye to the left."""
    down: Floats
    """(2,) unit vector from the eyes to the mouth, perpendicular to ``right``."""
    unit: float
    """Pixels between the centres of the eyes, or from the height of the face if a rotated head brings the eyes
    closer.
    """

    def middle(self, numbers: Sequence[int] | range) -> Floats:
        """(2,) mean of some points."""
        return np.asarray(self.points[list(numbers)].mean(axis=0))


def face_of(window: Window) -> Face:
    """The facial features in the window.

    Raises:
        InputError: points are missing, or the face is too small.
    """
    points = window.points([f"face-{n}" for n in range(68)])
    eyes = [points[list(numbers)].mean(axis=0) for numbers in _EYES.values()]
    mouth = points[list(_MOUTH)].mean(axis=0)
    across = eyes[1] - eyes[0]
    height = float(np.linalg.norm(mouth - 0.5 * (eyes[0] + eyes[1])))
    unit = max(float(np.linalg.norm(across)), 0.85 * height)
    if unit < 14:
        raise InputError(f"the eyes are {unit:.0f} pixels apart; at least 14 are needed to see an error")
    right = across / max(float(np.linalg.norm(across)), 1e-6)
    down = np.array([-right[1], right[0]])
    down = down * (1.0 if (mouth - eyes[0]) @ down > 0 else -1.0)
    return Face(points=points, right=right, down=down, unit=unit)


def _weight(places: Floats, centre: Floats, radius: float, core: float = 0.0) -> Floats:
    """(M, 1) weight 1 within ``core`` of the radius, falling smoothly to 0 at the radius."""
    away = np.linalg.norm(places - centre, axis=1) / radius
    share = np.clip((1 - away) / (1 - core), 0, 1)
    return np.asarray((share * share * (3 - 2 * share))[:, None])


def _scaled(centre: Floats, radius: float, factor: float, core: float = 0.35) -> Flow:
    return lambda p: centre + (p - centre) * (1 + (1 / factor - 1) * _weight(p, centre, radius, core))


def _shifted(centre: Floats, radius: float, way: Floats, core: float = 0.4) -> Flow:
    return lambda p: p - way * _weight(p, centre, radius, core)


def _rolled(centre: Floats, radius: float, angle: float, core: float = 0.4) -> Flow:
    def flow(p: Floats) -> Floats:
        turn = -angle * _weight(p, centre, radius, core)[:, 0]
        x, y = (p - centre).T
        turned = [np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y]
        return np.asarray(centre + np.stack(turned, axis=1))

    return flow


def _flowed(window: Window, flows: Sequence[Flow], detail: dict[str, float | int | str]) -> Composition:
    """The window warped by ``flows``, the last one first."""
    where = np.ones(window.shape, dtype=bool)
    spots = pixels(where)
    source: Floats = spots.astype(np.float64)
    for flow in flows:
        source = flow(source)
    moved = np.abs(source - spots).max(axis=1) > 0.02
    where[where] = moved
    kept = source[moved].astype(np.float32)
    return Composition(
        layers=[Layer(where=where, source=kept, share=np.ones(len(kept), dtype=np.float32), image=window.image)],
        detail=detail,
    )


def misshapen(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Change size, place or slant of two features (three at severity 3)."""
    face = face_of(window)
    strength = (0.6, 0.78, 0.95)[severity - 1] * float(rng.uniform(0.9, 1.1))
    ways = {"eye": _eye, "other eye": _eye, "mouth": _mouth, "melt": _melt, "jaw": _jaw, "nose": _nose}
    picked = [str(name) for name in rng.choice(list(ways), size=(2, 2, 3)[severity - 1], replace=False)]
    if "eye" not in picked and "mouth" not in picked and "melt" not in picked:
        picked[0] = "melt"
    side = str(rng.choice(list(_EYES)))
    flows: list[Flow] = []
    for name in picked:
        which = side if name == "eye" else next(eye for eye in _EYES if eye != side)
        flows += ways[name](face, which, strength, rng)
    return _flowed(window, flows, {"strength": strength, "ways": ",".join(picked)})


def _eye(face: Face, which: str, strength: float, rng: np.random.Generator) -> list[Flow]:
    centre, unit = face.middle(_EYES[which]), face.unit
    factor = 1 + strength * float(rng.choice([0.5, 0.6, -0.33]))
    way = strength * unit * (rng.uniform(-0.08, 0.08) * face.right + rng.choice([-0.16, 0.2]) * face.down)
    return [
        _shifted(centre, 0.62 * unit, way, 0.3),
        _rolled(centre, 0.55 * unit, strength * float(rng.choice([-1, 1])) * rng.uniform(0.15, 0.5)),
        _scaled(centre, 0.6 * unit, factor),
    ]


def _mouth(face: Face, _: str, strength: float, rng: np.random.Generator) -> list[Flow]:
    centre, unit = face.middle(_MOUTH), face.unit
    way = strength * unit * (rng.choice([-0.2, 0.2]) * face.right + rng.uniform(-0.05, 0.12) * face.down)
    return [
        _shifted(centre, 0.85 * unit, way),
        _rolled(centre, 0.8 * unit, strength * float(rng.choice([-1, 1])) * rng.uniform(0.2, 0.45)),
        _scaled(centre, 0.8 * unit, 1 + strength * float(rng.choice([0.35, -0.3]))),
    ]


def _melt(face: Face, _: str, strength: float, rng: np.random.Generator) -> list[Flow]:
    """Make the mouth or the eyes run like melted wax."""
    unit = face.unit
    centre = face.middle(_MOUTH) if rng.random() < 0.6 else face.middle(_EYES[str(rng.choice(list(_EYES)))])
    side = int(4 * unit)
    fields = [smooth_noise((side, side), 0.28 * unit, rng) for _ in range(2)]

    def flow(p: Floats) -> Floats:
        local = p - centre + 0.5 * side
        run = [ndimage.map_coordinates(f, local[:, ::-1].T, order=1, mode="nearest") for f in fields]
        bent = np.clip(np.stack(run, axis=1), -1.5, 1.5) * 0.11 * unit * strength
        return np.asarray(p + bent * _weight(p, centre, 0.75 * unit, 0.4))

    return [flow]


def _jaw(face: Face, _: str, strength: float, rng: np.random.Generator) -> list[Flow]:
    unit = face.unit
    side = -1.0 if rng.random() < 0.5 else 1.0
    corner = face.points[4 if side < 0 else 12]
    way = strength * unit * (0.2 * side * face.right + rng.uniform(-0.05, 0.1) * face.down)
    return [_shifted(corner, 0.75 * unit, way, 0.2), _shifted(face.points[8], 0.7 * unit, -0.6 * way, 0.2)]


def _nose(face: Face, _: str, strength: float, rng: np.random.Generator) -> list[Flow]:
    tip, unit = face.points[33], face.unit
    way = strength * unit * (rng.choice([-0.16, 0.16]) * face.right + rng.choice([-0.1, 0.14]) * face.down)
    return [_shifted(tip, 0.5 * unit, way), _scaled(tip, 0.5 * unit, 1 + strength * float(rng.choice([0.45, -0.3])))]


def _lengthened(window: Window, factor: float) -> Composition:
    """Stretch the lower face downwards, or compress it towards the eyes."""
    face = face_of(window)
    eyes = 0.5 * (face.middle(_EYES["right eye"]) + face.middle(_EYES["left eye"]))
    way = (factor - 1) * 1.2 * face.unit
    chin = float((face.points[8] - eyes) @ face.down)
    middle = float((face.middle(_MOUTH) - eyes) @ face.right)

    def flow(p: Floats) -> Floats:
        deep, wide = (p - eyes) @ face.down, np.abs((p - eyes) @ face.right - 0.6 * middle)
        start = _ease((deep - 0.25 * face.unit) / (chin + max(way, 0) - 0.35 * face.unit))
        # the neck and the sides of the face absorb the displacement
        rest = 1 - _ease((deep - chin - max(way, 0)) / (0.9 * face.unit))
        sides = 1 - _ease((wide - 0.8 * face.unit) / (0.8 * face.unit))
        return p - (way * start * rest * sides)[:, None] * face.down

    return _flowed(window, [flow], {"factor": factor})


def _ease(share: Floats) -> Floats:
    share = np.clip(share, 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def elongated(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Make the face too long from the eyes to the chin."""
    return _lengthened(window, 1 + (0.3, 0.42, 0.55)[severity - 1] * float(rng.uniform(0.9, 1.1)))


def shortened(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Make the face too short: mouth and chin close to the nose."""
    return _lengthened(window, 1 - (0.22, 0.32, 0.42)[severity - 1] * float(rng.uniform(0.9, 1.1)))


def thickened(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Make the jaw far too wide or far too narrow."""
    face = face_of(window)
    strength = (0.16, 0.24, 0.33)[severity - 1] * float(rng.uniform(0.9, 1.1)) * (1 if rng.random() < 0.6 else -1)
    flows = [
        _shifted(face.points[n], 0.85 * face.unit, sign * strength * face.unit * face.right, 0.25)
        for n, sign in ((4, -1.0), (12, 1.0))
    ]
    return _flowed(window, flows, {"strength": strength})


def twisted(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Rotate all features within the face. The outline of the face does not change."""
    face = face_of(window)
    angle = (0.26, 0.36, 0.48)[severity - 1] * float(rng.uniform(0.9, 1.1)) * float(rng.choice([-1, 1]))
    return _flowed(window, [_rolled(face.points[30], 1.35 * face.unit, angle, 0.55)], {"angle": angle})


def _patch(window: Window, face: Face, numbers: Sequence[int] | range, grown: float) -> BoolArray:
    """(h, w) polygon through some points, dilated by a share of the unit."""
    points = face.points[list(numbers)]
    out = np.zeros(window.shape, dtype=bool)
    corners = np.clip(np.rint(points[:, ::-1]).astype(int), 0, np.array(window.shape) - 1)
    out[tuple(corners.T)] = True
    rows, columns = polygon(points[:, 1], points[:, 0], window.shape)
    out[rows, columns] = True
    return np.asarray(ndimage.distance_transform_edt(~out) <= grown * face.unit)


def _skin(window: Window, face: Face) -> BoolArray:
    """(h, w) pixels of the face with the brightness and colour of its cheeks, without hair, brows, eyes and lips."""
    cheeks = [0.5 * (face.middle(_EYES[eye]) + face.points[n]) for eye, n in (("right eye", 4), ("left eye", 12))]
    away = [np.linalg.norm(grid(window.shape) - cheek, axis=2) < 0.2 * face.unit for cheek in cheeks]
    colour = window.image[away[0] | away[1]]
    soft = ndimage.gaussian_filter(window.image, (1, 1, 0))
    return np.asarray(np.abs(soft - np.median(colour, axis=0)).max(axis=2) < 80)


def _painted_over(image: Floats, hole: BoolArray, feather: float) -> Composition:
    """``image`` with the hole filled with smooth skin, blended over ``feather`` pixels."""
    spots = pixels(hole)
    share = _ease(ndimage.distance_transform_edt(hole)[hole] / feather).astype(np.float32)
    return Composition(layers=[Layer(where=hole, source=spots, share=share, image=image)])


def missing(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Replace an eye or the mouth with smooth skin: the brow too at severity 2, two features at severity 3."""
    face = face_of(window)
    features = {**_EYES, "mouth": _MOUTH}
    chances = np.array([0.35, 0.35, 0.3])
    gone = [str(name) for name in rng.choice(list(features), size=(1, 1, 2)[severity - 1], replace=False, p=chances)]
    hole = np.zeros(window.shape, dtype=bool)
    for name in gone:
        hole |= _patch(window, face, features[name], 0.2)
        if severity > 1 and name in _EYES:
            brow = range(17, 22) if name == "right eye" else range(22, 27)
            hole |= _patch(window, face, brow, 0.16)
    skin = _skin(window, face)
    image = membrane(window.image, hole, loose=~skin)
    image[hole] += grain(window.image, skin & ~hole & (window.share > 0.9), hole, rng)
    composition = _painted_over(image, hole, 0.09 * face.unit)
    return Composition(layers=composition.layers, detail={"features": ",".join(gone)})


def _cloned_feature(
    window: Window, face: Face, numbers: Sequence[int] | range, way: Floats, angle: float, size: float
) -> Composition | None:
    """A feature cloned at ``way`` from its place, rotated and scaled; None if the skin there is missing or unlike."""
    centre = face.middle(numbers)
    source_hole = _patch(window, face, numbers, 0.14)
    spots = grid(window.shape).reshape(-1, 2)
    local = (spots - centre - way) / size
    cos, sin = np.cos(-angle), np.sin(-angle)
    source = centre + np.stack([cos * local[:, 0] - sin * local[:, 1], sin * local[:, 0] + cos * local[:, 1]], axis=1)
    inside = ndimage.map_coordinates(
        source_hole.astype(np.float32), source[:, ::-1].T, order=1, mode="constant"
    ).reshape(window.shape)
    hole = inside > 0.5
    if not hole.any() or (window.share[hole] < 0.5).mean() > 0.1:
        return None
    around = ndimage.binary_dilation(hole)
    copied = window.image.copy()
    copied[around] = Sampler(window.image).at(source.reshape(*window.shape, 2)[around].astype(np.float32))
    rim = around & ~hole
    if np.abs((copied - window.image)[rim].mean(axis=0)).max() > _LIGHT:
        return None
    return _painted_over(clone(window.image, copied, hole), hole, 2.0)


def _add_feature(
    window: Window, severity: int, rng: np.random.Generator, ways: Sequence[tuple[str, float, float]]
) -> Composition:
    """The first of ``ways`` (feature, outward and downward by units), in random order, that falls on similar skin."""
    face = face_of(window)
    angle, size = float(rng.uniform(-0.2, 0.2)), (0.75, 0.9, 1.05)[severity - 1] * float(rng.uniform(0.95, 1.05))
    for number in rng.permutation(len(ways)):
        name, sideways, down = ways[int(number)]
        outward = -1.0 if name == "right eye" else 1.0
        way = face.unit * (sideways * outward * face.right + down * face.down)
        composition = _cloned_feature(window, face, {**_EYES, "mouth": _MOUTH}[name], way, angle, size)
        if composition is not None:
            return Composition(layers=composition.layers, detail={"feature": name, "size": size})
    raise InputError("the face has no free skin for another feature; choose another operation")


def extra(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Add a third eye on the cheek or the forehead, or a second mouth on the chin."""
    ways = [(eye, s, d) for eye in _EYES for s, d in ((0.05, 0.6), (-0.45, -0.55), (0.0, -0.6))] + [("mouth", 0.0, 0.5)]
    return _add_feature(window, severity, rng, ways)


def duplicated(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Add a copy of an eye or the mouth close to the original."""
    ways = [(eye, s, d) for eye in _EYES for s, d in ((0.12, 0.34), (-0.1, 0.36))] + [
        ("mouth", 0.1, 0.34),
        ("mouth", -0.3, 0.3),
    ]
    return _add_feature(window, severity, rng, ways)


def expression(window: Window, rng: np.random.Generator) -> Composition:
    """Move the corners of the mouth or a brow slightly, as a facial expression does."""
    face = face_of(window)
    amount = float(rng.uniform(0.05, 0.09) * rng.choice([-1.0, 1.0]))
    way = amount * face.unit * face.down
    if rng.random() < 0.5:
        flows = [_shifted(face.points[n], 0.4 * face.unit, way, 0.1) for n in (48, 54)]
    else:
        flows = [_shifted(face.points[n], 0.4 * face.unit, way, 0.1) for n in (19, 24)]
    return _flowed(window, flows, {"amount": amount})
