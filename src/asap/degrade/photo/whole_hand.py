"""Operations on the whole hand: melted, rotated at the wrist, mirrored, duplicated, and fingers added behind it."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, Floats
from asap.core.wholebody import FINGERS
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.finger_warps import along, bones, choose, names
from asap.degrade.photo.fingers import Tube
from asap.degrade.photo.limb_warp import Composition, warp_to_curve
from asap.degrade.photo.sampling import linear, pixels, smooth_noise
from asap.degrade.photo.window import Window

_ROOT = 0.3
"""Bones over which a copied finger fades in."""
_BARE_ROOT = 0.25
"""Largest visible area of the fading root of a copied finger, in squared radii. A larger one looks like a ghost."""
_ONE_PIECE = 0.9
"""Share of the visible copy that must be connected."""
_OWN_COLOUR = 3.0
"""Standard deviations (over all three channels) within which a colour counts as the colour of the hand."""
_BEHIND = 0.2
"""Share of the surroundings with the colour of the hand, above which another hand or a face is behind it."""


def axis(window: Window) -> tuple[Floats, Floats, float]:
    """The wrist (2,), the unit vector (2,) from it to the knuckles, and their distance in pixels.

    Raises:
        InputError: the wrist or all knuckles are not known, or they coincide.
    """
    side = window.region.side
    wrist = window.point(f"{side}_hand_root")
    found = [window.point(f"{side}_{name}1") for name in FINGERS[1:]]
    knuckles = [point for point in found if point is not None]
    if wrist is None or not knuckles:
        raise InputError("the hand has no known wrist or knuckles; choose another operation")
    ahead = np.mean(knuckles, axis=0) - wrist
    length = float(np.linalg.norm(ahead))
    if length < 6:
        raise InputError("the hand points at the camera; choose another operation")
    return wrist, np.asarray(ahead / length), length


def _smoothstep(values: Floats) -> Floats:
    values = np.clip(values, 0, 1)
    return np.asarray(values * values * (3 - 2 * values), dtype=np.float32)


def _hand_share(local: Floats, ahead: Floats, length: float) -> Floats:
    """(M,) 0 at and before the wrist, 1 on the hand, for places relative to the wrist."""
    far = np.linalg.norm(local, axis=1) / length
    return _smoothstep(np.maximum(local @ ahead / length + 0.1, far - 0.35) / 0.55)


def _around(window: Window, distance: float) -> BoolArray:
    return np.asarray(ndimage.distance_transform_edt(window.share < 0.02) <= distance)


def _refuse_same_colour_behind(window: Window) -> None:
    """Refuse a hand in front of something of the same colour: the uncovered area would look like the hand.

    Raises:
        InputError: there is such a thing beside the hand, away from its wrist.
    """
    wrist, ahead, length = axis(window)
    near = _around(window, max(4.0, 0.06 * window.size)) & ~_around(window, 2)
    near[near] = _hand_share(pixels(near) - wrist, ahead, length) > 0.7
    own = window.image[window.share > 0.95]
    if not near.any() or len(own) < 50:
        return
    spread = np.linalg.inv(np.cov(own.T) + 9 * np.eye(3))
    away = window.image[near] - own.mean(axis=0)
    alike = float((np.einsum("nc,cd,nd->n", away, spread, away) < _OWN_COLOUR**2).mean())
    if alike > _BEHIND:
        raise InputError("the background of this hand has the colour of its skin; choose another operation")


def melted(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Melt the hand: bend and swell everything at the scale of its fingers; the wrist stays fixed."""
    wrist, ahead, length = axis(window)
    _refuse_same_colour_behind(window)
    size = 0.09 * window.size
    strength = (0.5, 0.66, 0.82)[severity - 1] * float(rng.uniform(0.9, 1.1))
    where = _around(window, 1.5 * size)
    spots = pixels(where)
    held = _hand_share(spots - wrist, ahead, length)
    flow = np.stack([smooth_noise(window.shape, 2.2 * size, rng)[where] for _ in range(2)], axis=1)
    flow = np.clip(flow, -1.6, 1.6) * strength * size * held[:, None]
    source = spots + flow.astype(np.float32)
    layer = Layer(where=where, source=source, share=linear(window.share, source))
    bare = where.copy()
    bare[where] = held > 0.02
    bare &= _around(window, 2)
    return Composition(layers=[layer], bare=bare, detail={"strength": strength, "way": "melted"})


def turned(window: Window, angle: float) -> Composition:
    """Rotate the hand in the image by ``angle`` radians at the wrist, where the skin follows over a short distance.

    Raises:
        InputError: the wrist is not known, or something of the colour of the hand is behind it.
    """
    _refuse_same_colour_behind(window)
    wrist, ahead, length = axis(window)
    where = np.ones(window.shape, dtype=bool)
    local = pixels(where) - wrist
    turn = np.full(len(local), angle, dtype=np.float32)
    for _ in range(4):
        source = _rotated(local, -turn)
        turn = angle * _hand_share(source, ahead, length)
    share = linear(window.share, source + wrist)
    seen = (share > 0) & (np.abs(turn) > 1e-3)
    where[where] = seen
    layer = Layer(where=where, source=(source + wrist)[seen], share=share[seen])
    spots = pixels(np.ones(window.shape, dtype=bool)) - wrist
    bare = (_hand_share(spots, ahead, length) > 0.01).reshape(window.shape) & _around(window, 2)
    return Composition(layers=[layer], bare=bare, detail={"angle": angle})


def _rotated(vectors: Floats, angle: Floats | float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1).astype(np.float32)


def swapped_side(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Put the mirrored hand on the same wrist, larger with higher severity.

    Raises:
        InputError: no arm of the same side is in the image. Without it, the result looks like the other hand.
    """
    region = window.region
    if not any(r.part == "arm" and (r.side, r.person) == (region.side, region.person) for r in regions):
        raise InputError("a mirrored hand without its arm looks like the other hand; give the region of the arm")
    _refuse_same_colour_behind(window)
    wrist, ahead, length = axis(window)
    size = (1.0, 1.1, 1.2)[severity - 1] * float(rng.uniform(0.98, 1.02))
    side = np.array([-ahead[1], ahead[0]])
    spots = pixels(np.ones(window.shape, dtype=bool))
    local = spots - wrist
    deep, across = local @ ahead, local @ side
    near = window.share.ravel() * (np.abs(deep) < 0.15 * length)
    middle = float((near * across).sum() / max(near.sum(), 1e-6))
    factor = 1 + (size - 1) * _smoothstep(deep / length)
    source = wrist + (deep / factor)[:, None] * ahead + (middle - (across - middle) / factor)[:, None] * side
    share = linear(window.share, source.astype(np.float32)) * _smoothstep(deep / length / 0.3 + 0.3)
    where = (share > 0).reshape(window.shape)
    bare = (deep / length > 0.05).reshape(window.shape) & _around(window, 2)
    layer = Layer(where=where, source=source[share > 0].astype(np.float32), share=share[share > 0])
    return Composition(layers=[layer], bare=bare, detail={"size": size})


def _front(window: Window, regions: Sequence[PartRegion]) -> Floats:
    """(h, w) coverage by the hand and by the parts of the same person that meet it."""
    front = window.share.copy()
    for other in regions:
        if other.person == window.region.person and other.part in ("arm", "hand"):
            own = ndimage.gaussian_filter(window.crop(other.mask).astype(np.float32), 0.8)
            front = np.maximum(front, own)
    return front


def _behind(window: Window, layer: Layer, front: Floats) -> Layer:
    """``layer`` placed behind ``front`` (h, w), with the shadow that ``front`` throws on it."""
    depth = ndimage.gaussian_filter(front, 0.03 * window.size)
    light = 1 - 0.45 * np.clip(depth[layer.where], 0, 1)
    # the layer extends under the soft rim of the hand, which is composited over it again (``_soft_rim``)
    cover = np.where(front > window.share + 1e-6, front, np.clip((front - 0.9) / 0.08, 0, 1))
    return Layer(
        where=layer.where,
        source=layer.source,
        share=layer.share * (1 - cover[layer.where]),
        light=light,
        image=layer.image,
    )


def _soft_rim(window: Window, behind: Sequence[Layer]) -> Layer:
    """The soft rim of the hand in its own colour where something is ``behind`` it, in place of the background."""
    where = np.zeros(window.shape, dtype=bool)
    for layer in behind:
        where[layer.where] |= layer.share > 0.01
    where &= (window.share > 0.004) & (window.share < 0.99)
    return Layer(where=where, source=pixels(where), share=window.share[where])


def extra(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Copy a finger, or two, bend it differently and put it behind the hand beside its source.

    Raises:
        InputError: no place beside a finger is free, or something of the colour of the hand is behind it.
    """
    _refuse_same_colour_behind(window)
    moved, tubes = choose(window, (1, 1, 2)[severity - 1], rng)
    front = _front(window, regions)
    layers = []
    for tube in moved:
        copies = [_copy(window, tube, front, swing, rng) for swing in _angles_to_try(severity, rng)]
        found = [layer for layer, bare_root in copies if _attached(layer, bare_root, tube, window.share)]
        worth = [float(layer.share.sum()) / (2 * tube.radius * tube.length) for layer in found]
        if max(worth, default=0.0) > (0.25, 0.35, 0.35)[severity - 1]:
            layers.append(found[int(np.argmax(worth))])
    if not layers:
        raise InputError("no room beside a finger of this hand for one more; choose another operation")
    layers.append(_soft_rim(window, layers))
    return Composition(layers=layers, detail={"fingers": names(moved), "way": "behind", "of": len(tubes)})


def _angles_to_try(severity: int, rng: np.random.Generator) -> list[float]:
    """Angles from the source to try, in radians; a larger one shows more."""
    wide = np.deg2rad((22, 30, 36)[severity - 1])
    return [sign * wide * float(rng.uniform(0.85, 1.15)) * size for sign in (-1, 1) for size in (1.0, 1.35)]


def _copy(window: Window, tube: Tube, front: Floats, swing: float, rng: np.random.Generator) -> tuple[Layer, float]:
    """The finger, bent differently and behind the hand, and how many pixels of its fading root are visible."""
    lengths, angles = bones(tube.joints)
    bent = angles + swing + np.linspace(0, rng.uniform(-0.3, 0.3), len(angles))
    line = along(tube, lengths * rng.uniform(0.85, 1.08), bent)
    wide = float(rng.uniform(0.9, 1.05))
    layer, whole = (warp_to_curve(window, tube, line, wide=wide, root=root) for root in (_ROOT, 0.0))
    seen = (whole.share - layer.share) * (1 - front[layer.where]) * (whole.share > 0)
    return _behind(window, layer, front), float(seen.sum())


def _attached(layer: Layer, bare_root: float, tube: Tube, hand: Floats) -> bool:
    """Whether the visible part of a copy is one piece that grows out of the hand and has a hidden root."""
    seen = np.zeros(layer.where.shape, dtype=bool)
    seen[layer.where] = layer.share > 0.4
    labels, count = ndimage.label(seen)
    if count == 0:
        return False
    sizes = np.bincount(labels.ravel())[1:]
    main = labels == 1 + int(sizes.argmax())
    meets = main & ndimage.binary_dilation(hand > 0.5, iterations=2)
    one_piece = sizes.max() > _ONE_PIECE * sizes.sum()
    return bool(one_piece and meets.sum() >= 3 * tube.radius and bare_root < _BARE_ROOT * tube.radius**2)


def duplicated(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Add a second hand on the same wrist, behind the first.

    Raises:
        InputError: it would be hidden, or the edge of the image cuts the hand.
    """
    if window.region.cut:
        raise InputError("the image edge cuts this hand; choose another hand or operation")
    angle = np.deg2rad((32, 45, 60)[severity - 1]) * float(rng.uniform(0.9, 1.1))
    front = _front(window, regions)
    best: Layer | None = None
    for sign in (-1.0, 1.0):
        # the skin of the wrist follows, so the second hand leaves the arm where the first does, and no root is visible
        layer = _behind(window, turned(window, sign * angle).layers[0], front)
        if best is None or layer.share.sum() > best.share.sum():
            best = layer
    if best is None or best.share.sum() < 0.2 * window.share.sum():
        raise InputError("a second hand would be hidden behind this one; choose another operation")
    return Composition(layers=[best, _soft_rim(window, [best])], detail={"angle": angle})
