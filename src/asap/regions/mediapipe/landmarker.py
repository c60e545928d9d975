"""The landmarker ``mediapipe``: offline, on the CPU, from models that lie in the user's cache."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.core.hashing import digest, digest_json
from asap.core.photos import PartRegion
from asap.core.records import ByteArray
from asap.regions import models
from asap.regions.mediapipe import hands
from asap.regions.mediapipe.crops import Pyramid, whole
from asap.regions.mediapipe.detection import PALM, detect
from asap.regions.mediapipe.hands import Hand
from asap.regions.mediapipe.network import Network
from asap.regions.outlines import hand_outline
from asap.regions.parts import MIN_PART_PIXELS, Found, hand_names, keep_large, region

__all__ = ["MediaPipe"]

METHOD: Final = 1
"""Goes up when the same models and settings give other answers."""
REACH: Final = 8.0
"""Without a body, two hands that are further apart than this many of their sizes belong to two people."""


@dataclass(frozen=True, kw_only=True)
class MediaPipe:
    """MediaPipe's palm and hand models; see ``docs/regions.md``."""

    bundle: str | Path | None = None
    """One of MediaPipe's .task bundles, whose models replace those of the cache."""
    folder: str | Path | None = None
    """Where the models lie; default ``models.models_folder()``."""
    threshold: float = 0.3
    """Least score of a detection."""
    presence: float = 0.5
    """Least certainty, of the second look, that there is a hand."""
    min_pixels: int = MIN_PART_PIXELS
    threads: int = 1
    name: str = field(default="mediapipe", init=False)

    def __post_init__(self) -> None:
        """Raise ``StoreError`` now, not at the first picture, where models are missing or damaged."""
        _ = self.fingerprint

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone; another process loads the models itself."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}

    @cached_property
    def _models(self) -> dict[str, bytes]:
        replaced = models.from_bundle(Path(self.bundle)) if self.bundle else {}
        folder = Path(self.folder) if self.folder else None
        names = ("palm_detection_full", "hand_landmark_full")
        return {name: replaced.get(name) or models.load(name, folder) for name in names}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the models, the settings that matter and the method."""
        settings = {"threshold": self.threshold, "presence": self.presence, "min_pixels": self.min_pixels}
        weights = {name: digest(data) for name, data in self._models.items()}
        return digest_json({"models": weights, "settings": settings, "method": METHOD})

    @cached_property
    def _networks(self) -> dict[str, Network]:
        return {name: Network(data, name, self.threads) for name, data in self._models.items()}

    def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
        """Parts in (H, W, 3) sRGB ``image``, people by size; empty where nobody is found."""
        return self.search(image).regions

    def search(self, image: ByteArray) -> Found:
        """As ``find``, with a note for each part that was left out."""
        found = self._hands(Pyramid(image))
        regions = [
            region(
                "hand",
                side,
                person,
                hand_outline(image.shape[:2], hand.points),
                np.concatenate([hand.points, np.full((21, 1), hand.presence, np.float32)], axis=1),
                hand_names(side),
                hand.presence,
                self.name,
            )
            for person, side, hand in owners(found)
        ]
        return keep_large(regions, self.min_pixels)

    def _hands(self, image: Pyramid) -> list[Hand]:
        network = self._networks["hand_landmark_full"]
        palms = detect(
            self._networks["palm_detection_full"], PALM, image, whole(image.width, image.height), self.threshold
        )
        looks = [hands.hand_at(network, image, hands.from_palm(palm)) for palm in palms]
        again = [hands.look_again(network, image, hand) for hand in looks if hand.presence > self.presence / 2]
        return hands.unlike(hand for hand in again if hand.presence >= self.presence)


def owners(found: Sequence[Hand]) -> list[tuple[int, str, Hand]]:
    """Person, side and hand: a person has one hand a side, and hands that lie far apart are two people's."""
    people: list[dict[str, Hand]] = []
    for hand in sorted(found, key=lambda h: -h.size):
        side = "right" if hand.right > 0.5 else "left"
        for person in people:
            other = next(iter(person.values()))
            near = np.linalg.norm(hand.points.mean(axis=0) - other.points.mean(axis=0)) < REACH * other.size
            if side not in person and near:
                person[side] = hand
                break
        else:
            people.append({side: hand})
    return [(number, side, hand) for number, person in enumerate(people) for side, hand in sorted(person.items())]
