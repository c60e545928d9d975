"""The landmarker ``mediapipe``: offline, on the CPU, with models from the user's cache."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.core.errors import StoreError
from asap.core.hashing import digest, digest_json
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.wholebody import KEYPOINTS
from asap.regions import models
from asap.regions.limbs import limbs, points_of
from asap.regions.mediapipe import bodies, faces, hands
from asap.regions.mediapipe.bodies import COCO, Body
from asap.regions.mediapipe.confirmation import confirmed, deduplicated
from asap.regions.mediapipe.crops import Crop, Pyramid, tiles, whole
from asap.regions.mediapipe.detection import BODY, FACE_FAR, FACE_NEAR, PALM, Detection, Detector, detect, merge
from asap.regions.mediapipe.faces import Face
from asap.regions.mediapipe.hands import Hand
from asap.regions.mediapipe.network import Network
from asap.regions.mediapipe.people import Individual, gather, unmatched
from asap.regions.outlines import face_mask, hand_mask
from asap.regions.parts import MIN_PART_PIXELS, Found, hand_names, keep_large, region

__all__ = ["MediaPipe"]

METHOD: Final = 2
"""Increase this when the same models and settings give different results."""
VISIBLE: Final = 0.5
"""Smallest visibility of a point of a body that is used."""
NEAR: Final = 1.2
"""Side, in lengths of the trunk, of the window around a wrist or nose in which a missing hand or face is searched."""
FACE_NAMES: Final = tuple(name for name in KEYPOINTS if name.startswith("face-"))

NOWHERE: Final = np.zeros(2, np.float32)
BODY_THRESHOLD: Final = 0.5
"""Smallest score of a detected body."""
CONFIRMED_ALONE: Final = 0.7
"""Smallest score when the detector sees the body alone: people had 0.97 or more, hands mistaken for bodies 0.65 or
less.
"""

Make = Callable[..., PartRegion]


@dataclass(frozen=True, kw_only=True)
class MediaPipe:
    """The models of MediaPipe for palms, hands, faces and bodies; see ``docs/reference/landmarkers.md``."""

    bundle: str | Path | None = None
    """A .task bundle of MediaPipe whose models replace those of the cache."""
    folder: str | Path | None = None
    """Folder of the models; default ``models.models_folder()``."""
    threshold: float = 0.3
    """Smallest score of a detected palm or face; bodies need 0.5."""
    presence: float = 0.5
    """Smallest probability, in the second pass, that a hand, face or body is present."""
    min_pixels: int = MIN_PART_PIXELS
    tile: float = 0.6
    """Side of the additional squares in which bodies are searched, as a share of the image's longer side; 1 for
    none.
    """
    threads: int = 1
    name: str = field(default="mediapipe", init=False)

    def __post_init__(self) -> None:
        """Raise ``StoreError`` for absent or damaged models now instead of at the first image."""
        _ = self.fingerprint

    def __getstate__(self) -> dict[str, Any]:
        """The settings only; another process loads the models itself."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}

    @cached_property
    def _models(self) -> dict[str, bytes]:
        folder = Path(self.folder) if self.folder else None
        ours = {name: models.load(name, folder) for name in models.MODELS}
        replaced = models.from_bundle(Path(self.bundle)) if self.bundle else {}
        for name, data in replaced.items():
            if Network(data, name).sizes != Network(ours[name], name).sizes:
                raise StoreError(f"{self.bundle}: its {name} has inputs or outputs of other shapes; leave bundle out")
        return ours | replaced

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the models, the settings that matter and the method."""
        names = ("threshold", "presence", "min_pixels", "tile")
        settings = {name: getattr(self, name) for name in names}
        weights = {name: digest(data) for name, data in self._models.items()}
        return digest_json({"models": weights, "settings": settings, "method": METHOD})

    @cached_property
    def _networks(self) -> dict[str, Network]:
        return {name: Network(data, name, self.threads) for name, data in self._models.items()}

    def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
        """Parts in (H, W, 3) sRGB ``image``, people by size; empty if nobody is found."""
        return self.search(image).regions

    def search(self, image: ByteArray) -> Found:
        """As ``find``, with a note for each part that is left out."""
        people = self._people(Pyramid(image))
        covered = np.zeros(image.shape[:2], np.bool_)
        found: list[PartRegion] = []
        makers = [partial(region, person=number, instrument=self.name) for number in range(len(people))]
        for person, make in zip(people, makers, strict=True):
            for side, hand in sorted(person.hands.items()):
                points, mask = _scored(hand.points, hand.sure), hand_mask(image, hand.points)
                names = hand_names(side)
                found.append(make("hand", side, mask=mask, points=points, names=names, confidence=hand.presence))
                covered |= mask
        for outline in (_face, _limbs):
            for person, make in zip(people, makers, strict=True):
                found += outline(person, covered, make)
            covered = np.logical_or.reduce([covered, *(part.mask for part in found)])
        found.sort(key=lambda part: part.person)
        return keep_large(found, self.min_pixels)

    def _people(self, image: Pyramid) -> list[Individual]:
        everything = whole(image.width, image.height)
        palms = self._hands(image, everything)
        persons = self._bodies(image, everything)
        seen = self._faces(image, everything)
        for person in gather(persons, seen, palms):
            for window in unmatched(person, VISIBLE, NEAR):
                palms += self._hands(image, window)
            if person.face is None and person.body is not None:
                x, y = person.body.points[0].tolist()
                seen += self._faces(image, Crop(x, y, NEAR * person.body.trunk))
        return gather(persons, deduplicated(seen, faces.SAME), deduplicated(palms, hands.SAME))

    def _hands(self, image: Pyramid, crop: Crop) -> list[Hand]:
        network = self._networks[hands.MODEL]
        found = self._detections(PALM, image, crop, self.threshold)
        first = (hands.hand_at(network, image, hands.from_palm(palm)) for palm in found)
        return deduplicated(confirmed(first, partial(hands.second_pass, network, image), self.presence), hands.SAME)

    def _faces(self, image: Pyramid, crop: Crop) -> list[Face]:
        network = self._networks[faces.MODEL]
        found = self._detections(FACE_NEAR, image, crop, self.threshold)
        found += self._detections(FACE_FAR, image, crop, self.threshold)
        first = (faces.face_at(network, image, faces.from_detection(face)) for face in found)
        return deduplicated(confirmed(first, partial(faces.second_pass, network, image), self.presence), faces.SAME)

    def _bodies(self, image: Pyramid, crop: Crop) -> list[Body]:
        network = self._networks[bodies.MODEL]
        found = self._detections(BODY, image, crop, BODY_THRESHOLD)
        for tile in tiles(image.width, image.height, self.tile) if self.tile < 1 else ():
            found += self._detections(BODY, image, tile, BODY_THRESHOLD)
        first = (bodies.body_at(network, image, bodies.from_detection(body)) for body in merge(found))
        again = confirmed(first, partial(bodies.second_pass, network, image), self.presence)
        return [body for body in deduplicated(again, bodies.SAME) if self._confirmed_alone(body, image)]

    def _confirmed_alone(self, body: Body, image: Pyramid) -> bool:
        """Whether the detector finds this body again in a window around it; hands mistaken for bodies fail here."""
        window = body.window
        same = bodies.SAME * window.size
        return any(
            seen.score >= CONFIRMED_ALONE and float(np.hypot(*(seen.points[0] - body.points[33]))) < same
            for seen in self._detections(BODY, image, Crop(window.x, window.y, window.size), BODY_THRESHOLD)
        )

    def _detections(self, detector: Detector, image: Pyramid, crop: Crop, threshold: float) -> list[Detection]:
        return detect(self._networks[detector.model], detector, image, crop, threshold)


def _scored(points: FloatArray, confidence: FloatArray | float) -> FloatArray:
    """(K, 3) points with their confidence."""
    column = np.broadcast_to(np.asarray(confidence, np.float32), len(points))
    return np.concatenate([points, column[:, None]], axis=1)


def _face(person: Individual, covered: BoolArray, make: Make) -> list[PartRegion]:
    """The face without the area that hands cover."""
    face = person.face
    if face is None:
        return []
    mask = face_mask(covered.shape, face.points) & ~covered
    points = _scored(faces.points_68(face.points), face.presence)
    return [make("face", "none", mask=mask, points=points, names=FACE_NAMES, confidence=face.presence)]


def _limbs(person: Individual, covered: BoolArray, make: Make) -> list[PartRegion]:
    """Arms, legs, feet, torso and neck of a body without the areas that hands and faces cover."""
    body = person.body
    if body is None:
        return []
    sure = {name: float(body.visibility[index]) for name, index in COCO.items()}
    at = {name: body.points[index] for name, index in COCO.items() if sure[name] > VISIBLE}
    for side, hand in person.hands.items():
        at[f"{side}_wrist"], sure[f"{side}_wrist"] = hand.points[0], hand.presence
    found = []
    for (part, side), mask in limbs(at, covered.shape, body.pixels(covered.shape), tuple(person.hands)).items():
        names = points_of(part, side)
        known = np.array([sure.get(name, 0.0) if name in at else 0.0 for name in names], np.float32)
        points = np.stack([at.get(name, NOWHERE) for name in names])
        certainty = body.presence * float(known[known > 0].mean())
        found.append(
            make(part, side, mask=mask & ~covered, points=_scored(points, known), names=names, confidence=certainty)
        )
    return found
