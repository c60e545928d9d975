"""Assign hands and faces to bodies, and order people by size, the largest first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from asap.core.records import FloatArray
from asap.regions.mediapipe.bodies import COCO, Body
from asap.regions.mediapipe.crops import Crop
from asap.regions.mediapipe.faces import Face
from asap.regions.mediapipe.hands import Hand

__all__ = ["Individual", "gather", "unmatched"]

SIDES: Final = ("left", "right")
WRIST_REACH: Final = 0.6
"""Largest distance, in lengths of the trunk, between the root of a hand and the wrist of its body."""
WRONG_SIDE: Final = 0.3
"""Additional distance, in lengths of the trunk, of a hand whose model is certain of the other side."""
FACE_REACH: Final = 1.0
"""Largest distance, in sizes of a face, between its middle and the nose of its body."""
HAND_REACH: Final = 8.0
"""Largest distance, in sizes of a hand, to the other hand of a person without a known body."""


@dataclass(kw_only=True)
class Individual:
    """The detections of one person."""

    body: Body | None = None
    face: Face | None = None
    hands: dict[str, Hand] = field(default_factory=dict)

    @property
    def extent(self) -> float:
        """Side in pixels of the box around all visible points, by which people are ordered."""
        points = [hand.points for hand in self.hands.values()]
        if self.body is not None:
            points.append(self.body.points[:33][self.body.visibility > 0.5])
        if self.face is not None:
            points.append(self.face.points)
        spread = np.concatenate(points)
        return float(np.sqrt(np.prod(np.ptp(spread, axis=0)))) if len(spread) else 0.0


def gather(bodies: Sequence[Body], faces: Sequence[Face], hands: Sequence[Hand]) -> list[Individual]:
    """All people, the largest first. A detection that fits no body becomes a separate person."""
    people = [Individual(body=body) for body in bodies]
    for face in sorted(faces, key=lambda f: -f.size):
        _give_face(people, face)
    free = _give_hands(people, hands)
    for hand in sorted(free, key=lambda h: -h.size):
        _give_hand(people, hand)
    return sorted(people, key=lambda person: -person.extent)


def _give_face(people: list[Individual], face: Face) -> None:
    middle = face.points.mean(axis=0)
    gaps = [
        float(np.linalg.norm(person.body.points[COCO["nose"]] - middle)) / face.size
        if person.body is not None and person.face is None
        else np.inf
        for person in people
    ]
    if gaps and min(gaps) < FACE_REACH:
        people[int(np.argmin(gaps))].face = face
    else:
        people.append(Individual(face=face))


def _give_hands(people: list[Individual], hands: Sequence[Hand]) -> list[Hand]:
    """Give each body the hands nearest to its wrists, smallest distance first; returns the remaining hands."""
    offers = sorted(
        (_cost(person.body, side, hand), index, side, number)
        for index, person in enumerate(people)
        if person.body is not None
        for side in SIDES
        for number, hand in enumerate(hands)
    )
    given: set[int] = set()
    for cost, index, side, number in offers:
        if cost < WRIST_REACH and number not in given and side not in people[index].hands:
            people[index].hands[side] = hands[number]
            given.add(number)
    return [hand for number, hand in enumerate(hands) if number not in given]


def _cost(body: Body, side: str, hand: Hand) -> float:
    """Distance from wrist to hand in lengths of the trunk, increased if the hand seems to be the other one."""
    wrist: FloatArray = body.points[COCO[f"{side}_wrist"]]
    wrong = 1 - hand.right if side == "right" else hand.right
    return float(np.linalg.norm(wrist - hand.points[0])) / body.trunk + WRONG_SIDE * wrong


def _give_hand(people: list[Individual], hand: Hand) -> None:
    """Assign a hand without a body to a nearby person without a body, else to a new one."""
    side = "right" if hand.right > 0.5 else "left"
    for person in people:
        if person.body is not None or side in person.hands:
            continue
        other = next(iter(person.hands.values()), None) or person.face
        if other is not None:
            gap = np.linalg.norm(hand.points.mean(axis=0) - other.points.mean(axis=0))
            if gap < HAND_REACH * max(hand.size, other.size) / 2:
                person.hands[side] = hand
                return
    people.append(Individual(hands={side: hand}))


def unmatched(person: Individual, visible: float, room: float) -> list[Crop]:
    """Windows around visible wrists without a hand, with a side of ``room`` lengths of the trunk."""
    body = person.body
    if body is None:
        return []
    windows = []
    for side in SIDES:
        wrist = COCO[f"{side}_wrist"]
        if side not in person.hands and body.visibility[wrist] > visible:
            x, y = body.points[wrist].tolist()
            windows.append(Crop(x, y, room * body.trunk))
    return windows
