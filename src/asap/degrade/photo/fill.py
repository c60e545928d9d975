"""Fill a hole of an image with patches of the same image.

On a small copy, patches are copied from outside in the order of how much is known around them (after Criminisi, Perez
and Toyama 2004), and are then made consistent (after Wexler, Shechtman and Irani 2007). The full image copies whole
pixels from the same places, so it keeps its grain and sharpness. A membrane removes steps of brightness at the rim.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, Floats, Ints
from asap.degrade.photo.poisson import membrane, solve
from asap.degrade.photo.sampling import block_mean, blocks

_HALF = 3
"""Pixels from the middle of a patch to its edge, on the small copy."""
_SPAN = 2 * _HALF + 1
_BUDGET = 500
"""Largest number of pixels of the hole on the small copy."""
_CANDIDATES = 2000
_ROUNDS = 3
_NEARNESS = 10.0
"""Additional cost, in squared grey levels, of a patch one search radius (8 half patches) away."""
_EDGE = 24.0
"""Grey levels from which a step between patches counts as an edge in the scene."""


@dataclass(frozen=True, kw_only=True)
class _Patches:
    """Patches that may be copied: P patches of the small image."""

    centres: Ints
    """(P, 2) rows and columns."""
    colours: Floats
    """(P, 3 * span * span)."""
    squares: Floats
    """(P, span * span) sum of the squared channels."""


def fill(image: Floats, hole: BoolArray, source: BoolArray) -> Floats:
    """``image`` (H, W, 3) with ``hole`` (H, W) filled by patches of ``source`` pixels (H, W).

    Pixels that are neither hole nor source are not read. If the source is too small for patches, a membrane through its
    rim fills the hole.
    """
    if not hole.any():
        return image
    source = source & ~hole
    scale = max(1, int(np.ceil(np.sqrt(hole.sum() / _BUDGET))))
    cut = _around(hole, 14 * scale * _HALF)
    part, inside, allowed = image[cut], hole[cut], source[cut]
    offsets = _offsets(block_mean(part, scale), _any(inside, scale), ~_any(~allowed, scale))
    out = image.copy()
    out[cut] = membrane(part, ~allowed) if offsets is None else _copy(part, inside, allowed, offsets, scale)
    return np.where(hole[:, :, None], out, image)


def _around(hole: BoolArray, distance: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - distance), int(rows[-1]) + distance + 1),
        slice(max(0, int(columns[0]) - distance), int(columns[-1]) + distance + 1),
    )


def _any(inside: BoolArray, scale: int) -> BoolArray:
    return np.asarray(blocks(inside, scale).any(axis=(1, 3)))


def _offsets(small: Floats, hole: BoolArray, source: BoolArray) -> Ints | None:
    """(h, w, 2) rows and columns from each hole pixel to its source pixel, or None if no patch fits."""
    pad = ((_HALF, _HALF), (_HALF, _HALF))
    image = np.pad(small, (*pad, (0, 0)), mode="edge")
    source, hole = np.pad(source & ~hole, pad), np.pad(hole, pad)
    centres = np.argwhere(ndimage.minimum_filter(source, size=_SPAN, mode="constant"))
    if len(centres) < 20:
        return None
    near = ndimage.distance_transform_edt(~hole)[tuple(centres.T)]
    centres = centres[np.argsort(near, kind="stable")[: 4 * _CANDIDATES]]
    centres = centres[:: max(1, len(centres) // _CANDIDATES)].astype(np.int32)
    colours = _cut(image, centres)
    squares = (colours**2).reshape(len(colours), 3, -1).sum(axis=1)
    patches = _Patches(centres=centres, colours=colours, squares=squares)
    offsets = np.zeros((*hole.shape, 2), dtype=np.int32)
    _grow(image, source, hole, patches, offsets)
    for _ in range(_ROUNDS):
        _make_consistent(image, source | hole, hole, patches, offsets)
    return offsets[_HALF:-_HALF, _HALF:-_HALF]


def _cut(image: Floats, centres: Ints) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(image, (_SPAN, _SPAN), axis=(0, 1))
    return windows[centres[:, 0] - _HALF, centres[:, 1] - _HALF].reshape(len(centres), -1).astype(np.float32)


def _grow(image: Floats, source: BoolArray, hole: BoolArray, patches: _Patches, offsets: Ints) -> None:
    """Fill the padded ``image`` in place, patch by patch, and write the offset to each source into ``offsets``."""
    known, left = source.copy(), hole.copy()
    trust = known.astype(np.float32)
    grey = image.mean(axis=2)
    while left.any():
        y, x = _next_pixel(grey, known, left, trust)
        around = (slice(y - _HALF, y + _HALF + 1), slice(x - _HALF, x + _HALF + 1))
        seen = known[around]
        target = np.where(seen[:, :, None], image[around], 0).transpose(2, 0, 1).reshape(-1)
        cost = patches.squares @ seen.reshape(-1).astype(np.float32) - 2 * patches.colours @ target
        far = ((patches.centres - np.array([y, x])) ** 2).sum(axis=1) / (8 * _HALF) ** 2
        best = int(np.argmin(cost + _NEARNESS * max(int(seen.sum()), 1) * np.minimum(far, 20)))
        wanted = left[around].copy()
        patch = patches.colours[best].reshape(3, _SPAN, _SPAN).transpose(1, 2, 0)
        image[around][wanted] = patch[wanted]
        grey[around][wanted] = patch[wanted].mean(axis=1)
        offsets[around][wanted] = patches.centres[best] - np.array([y, x])
        trust[around][wanted] = 0.9 * trust[around][seen].mean() if seen.any() else 0.1
        known[around] |= wanted
        left[around] &= ~wanted


def _next_pixel(grey: Floats, known: BoolArray, left: BoolArray, trust: Floats) -> tuple[int, int]:
    """The pixel of the hole that has the most known surroundings and an edge that runs into it."""
    seen = known.astype(np.float32)
    stack = np.stack([trust * seen, seen, grey * seen, grey * grey * seen])
    trusted, count, first, second = ndimage.uniform_filter(stack, size=(0, _SPAN, _SPAN), mode="constant")
    count = np.maximum(count, 1e-6)
    spread = np.sqrt(np.maximum(second / count - (first / count) ** 2, 0))
    worth = np.where(left, trusted * (6 + spread), -1)
    y, x = divmod(int(np.argmax(worth)), worth.shape[1])
    return y, x


def _make_consistent(image: Floats, seen: BoolArray, hole: BoolArray, patches: _Patches, offsets: Ints) -> None:
    """One round: find the nearest patch for every hole pixel, then average the patches over each pixel."""
    places = np.argwhere(hole).astype(np.int32)
    mask = _cut(seen.astype(np.float32)[:, :, None], places)
    wanted = _cut(image, places) * np.tile(mask, (1, 3))
    cost = mask @ patches.squares.T - 2 * wanted @ patches.colours.T
    here, there = (p.astype(np.float32) / (8 * _HALF) for p in (places, patches.centres))
    far = (here**2).sum(axis=1)[:, None] + (there**2).sum(axis=1)[None] - 2 * here @ there.T
    best = np.argmin(cost + _NEARNESS * mask.sum(axis=1, keepdims=True) * np.minimum(far, 20), axis=1)
    offsets[hole] = patches.centres[best] - places
    total, count = np.zeros_like(image), np.zeros((*hole.shape, 1), dtype=np.float32)
    squares = patches.colours[best].reshape(len(best), 3, _SPAN, _SPAN)
    for dy in range(-_HALF, _HALF + 1):
        for dx in range(-_HALF, _HALF + 1):
            # the middle of a patch has the largest weight
            weight = np.float32(np.exp(-(dy * dy + dx * dx) / (2 * (0.5 * _HALF) ** 2)))
            rows, columns = places[:, 0] + dy, places[:, 1] + dx
            total[rows, columns] += weight * squares[:, :, dy + _HALF, dx + _HALF]
            count[rows, columns] += weight
    image[hole] = total[hole] / count[hole]


def _copy(image: Floats, hole: BoolArray, source: BoolArray, small: Ints, scale: int) -> Floats:
    """Copy whole pixels of the full image. Between the blocks of the small copy, the sources are blended."""
    places = np.argwhere(hole)
    out = image.copy()
    out[hole] = _blend(image, places, small, scale)
    right = np.zeros_like(image)
    for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = places + np.array(step)
        rim = ((beside >= 0) & (beside < np.array(hole.shape))).all(axis=1)
        rim[rim] = source[beside[rim, 0], beside[rim, 1]]
        right[tuple(places[rim].T)] += _jumps(image, out, places[rim], beside[rim], small, scale)
    return np.asarray(out + solve(right, hole, 2, loose=~source), dtype=np.float32)


def _read(image: Floats, spots: Ints) -> Floats:
    spots = np.clip(spots, 0, np.array(image.shape[:2]) - 1)
    return np.asarray(image[spots[:, 0], spots[:, 1]])


def _blend(image: Floats, places: Ints, small: Ints, scale: int) -> Floats:
    """(N, 3) mean over the four nearest filled blocks; the nearest has the largest weight."""
    middle = (places + 0.5) / scale - 0.5
    low = np.floor(middle).astype(np.int64)
    part = middle - low
    total = np.zeros((len(places), 3), dtype=np.float32)
    weights = np.zeros((len(places), 1), dtype=np.float32)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        block = np.clip(low + corner, 0, np.array(small.shape[:2]) - 1)
        offset = small[block[:, 0], block[:, 1]]
        weight = np.prod(np.where(corner, part, 1 - part), axis=1) ** 2 + 1e-9
        weight = np.where((offset == 0).all(axis=1), 0, weight)[:, None].astype(np.float32)
        total += weight * _read(image, places + scale * offset)
        weights += weight
    return total / np.maximum(weights, 1e-12)


def _jumps(image: Floats, out: Floats, inside: Ints, outside: Ints, small: Ints, scale: int) -> Floats:
    """Wanted minus present step across the rim, if it is a step of brightness and not an edge in the scene."""
    offset = scale * small[inside[:, 0] // scale, inside[:, 1] // scale]
    wanted = _read(image, inside + offset) - _read(image, outside + offset)
    jump = wanted - (out[tuple(inside.T)] - out[tuple(outside.T)])
    strength = np.abs(jump).max(axis=1, keepdims=True)
    return np.asarray(jump * np.exp(-((strength / _EDGE) ** 2)), dtype=np.float32)
