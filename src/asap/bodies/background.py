"""Procedural backgrounds: colour as a function of the position in the image, so that any ray can evaluate it."""

import numpy as np

from asap.core.records import Background, FloatArray, Floats

KINDS = ("plain", "gradient", "stripes", "checks", "noise", "horizon")


def paint(background: Background, places: Floats) -> FloatArray:
    """Linear RGB (N, 3) at ``places`` (N, 2) in [0, 1] x [0, 1], x to the right and y down.

    Raises ``ValueError`` for an unknown kind.
    """
    if background.kind not in KINDS:
        raise ValueError(f"background kind must be one of {', '.join(KINDS)}, got {background.kind!r}")
    first = np.asarray(background.colours[0], dtype=np.float32)
    last = np.asarray(background.colours[-1], dtype=np.float32)
    if background.kind == "plain":
        return np.broadcast_to(first, (len(places), 3))
    share = _share(background, places)[:, None]
    return (first * (1.0 - share) + last * share).astype(np.float32)


def _share(background: Background, places: Floats) -> Floats:
    rng = np.random.default_rng(background.seed)
    angle, phase = rng.uniform(0.0, np.pi), rng.uniform(0.0, 1.0)
    across = places[:, 0] * np.cos(angle) + places[:, 1] * np.sin(angle)
    if background.kind == "gradient":
        return _unit_range(across * 0.7 + 0.15)
    if background.kind == "stripes":
        return _soft(np.sin(2 * np.pi * (across * rng.uniform(3.0, 6.0) + phase)))
    if background.kind == "checks":
        count = rng.uniform(3.0, 5.0)
        return _soft(np.sin(2 * np.pi * places[:, 0] * count) * np.sin(2 * np.pi * places[:, 1] * count) * 4.0)
    if background.kind == "horizon":
        return _soft((places[:, 1] - rng.uniform(0.55, 0.75)) * 60.0)
    return _noise(rng, places)


def _soft(wave: Floats) -> Floats:
    return _unit_range(0.5 + 1.5 * wave)


def _noise(rng: np.random.Generator, places: Floats) -> Floats:
    total = np.zeros(len(places), dtype=np.float64)
    for octave in range(4):
        direction = rng.normal(size=2) * (1.5 * 1.7**octave)
        total += np.sin(2 * np.pi * (places @ direction + rng.uniform())) / (octave + 1)
    return _unit_range(0.5 + 0.25 * total)


def _unit_range(values: Floats) -> Floats:
    clipped: Floats = np.clip(values, 0.0, 1.0)
    return clipped
