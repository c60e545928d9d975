"""Hand shapes by name: counted fingers, gestures with a meaning, and grips."""

import numpy as np

from asap.bodies.limbs import Curl, HandShape

_OUT: Curl = (2.0, 4.0, 3.0)
_IN: Curl = (75.0, 95.0, 55.0)
_THUMB_OUT: Curl = (0.0, 0.0, 0.0)
_THUMB_IN: Curl = (32.0, 35.0, 45.0)
_THUMB_UP: Curl = (-15.0, -5.0, -10.0)


def _hand(thumb: Curl, up: tuple[int, ...], *, spread: float = 5.0, across: float = 25.0) -> HandShape:
    index, middle, ring, little = (_OUT if finger in up else _IN for finger in (1, 2, 3, 4))
    return HandShape(curls=(thumb, index, middle, ring, little), spread=spread, across=across)


COUNTED = {
    0: (_hand(_THUMB_IN, (), spread=0.0),),
    1: (_hand(_THUMB_IN, (1,), spread=0.0),),
    2: (_hand(_THUMB_IN, (1, 2), spread=9.0),),
    3: (_hand(_THUMB_IN, (1, 2, 3), spread=6.0), _hand(_THUMB_OUT, (1, 2), spread=6.0, across=0.0)),
    4: (_hand(_THUMB_IN, (1, 2, 3, 4), spread=6.0),),
    5: (_hand(_THUMB_OUT, (1, 2, 3, 4), spread=7.0, across=0.0),),
}
"""Shapes by number of extended fingers, including the thumb."""

GESTURES = {
    "thumbs up": _hand(_THUMB_UP, (), spread=0.0, across=0.0),
    "ok sign": HandShape(
        curls=((10.0, 20.0, 40.0), (55.0, 50.0, 25.0), (10.0, 5.0, 0.0), (5.0, 5.0, 0.0), (0.0, 0.0, 0.0)),
        spread=8.0,
        across=20.0,
    ),
    "victory sign": _hand(_THUMB_IN, (1, 2), spread=11.0),
    "pointing": _hand(_THUMB_IN, (1,), spread=0.0),
    "fist": _hand(_THUMB_IN, (), spread=0.0),
    "open palm": _hand(_THUMB_OUT, (1, 2, 3, 4), spread=7.0, across=0.0),
    "call me sign": _hand(_THUMB_UP, (4,), spread=6.0, across=0.0),
    "horns sign": _hand(_THUMB_IN, (1, 4), spread=6.0),
}
FINGERS_UP = {
    "thumbs up": 1,
    "victory sign": 2,
    "pointing": 1,
    "fist": 0,
    "open palm": 5,
    "call me sign": 2,
    "horns sign": 2,
}
"""Number of extended fingers of each gesture for which the count is unambiguous."""

GRIPS = {
    "stick": HandShape(
        curls=((30.0, 30.0, 30.0), (62.0, 72.0, 40.0), (62.0, 72.0, 40.0), (62.0, 72.0, 40.0), (60.0, 72.0, 40.0)),
        spread=0.0,
        across=30.0,
    ),
    "cup": HandShape(
        curls=((12.0, 20.0, 20.0), (42.0, 48.0, 30.0), (42.0, 48.0, 30.0), (42.0, 48.0, 30.0), (42.0, 48.0, 30.0)),
        spread=1.0,
        across=45.0,
    ),
    "ball": HandShape(
        curls=((5.0, 18.0, 18.0), (26.0, 34.0, 26.0), (24.0, 34.0, 26.0), (24.0, 34.0, 26.0), (26.0, 34.0, 26.0)),
        spread=6.0,
        across=45.0,
    ),
    "box": HandShape(curls=(_THUMB_OUT, _OUT, _OUT, _OUT, _OUT), spread=4.0, across=0.0),
}
RELAXED = HandShape(
    curls=((8.0, 12.0, 10.0), (14.0, 20.0, 12.0), (18.0, 22.0, 12.0), (20.0, 24.0, 14.0), (22.0, 24.0, 14.0)),
    spread=2.0,
    across=5.0,
)
CUPPED = HandShape(
    curls=((15.0, 15.0, 15.0), (38.0, 40.0, 20.0), (40.0, 42.0, 20.0), (40.0, 42.0, 20.0), (40.0, 42.0, 20.0)),
    spread=0.0,
    across=20.0,
)


def jitter(shape: HandShape, rng: np.random.Generator, degrees: float = 4.0) -> HandShape:
    """``shape`` with small random changes of every joint, within the range of a hand."""
    moved = np.clip(np.asarray(shape.curls) + rng.normal(0.0, degrees, (5, 3)), -18.0, 100.0)
    thumb, index, middle, ring, little = ((float(a), float(b), float(c)) for a, b, c in moved)
    spread = max(0.0, shape.spread + float(rng.normal(0.0, 1.0)))
    across = max(0.0, shape.across + float(rng.normal(0.0, 3.0)))
    return HandShape(curls=(thumb, index, middle, ring, little), spread=spread, across=across)
