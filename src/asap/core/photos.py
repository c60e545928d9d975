"""What crosses the walls between rooms when people come from photographs: frozen, keyword-only records.

Legend: H and W pixels, K keypoints. Images are (H, W, 3) sRGB bytes, upright. Left and right are the person's own.
"""

from dataclasses import dataclass

from asap.core.records import BoolArray, ByteArray, Edit, FloatArray


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photograph that was read, turned upright and made plain sRGB; nothing of its metadata is kept."""

    name: str
    """Path below its source folder, with forward slashes."""
    digest: str
    """SHA-256 of the file."""
    image: ByteArray
    """(H, W, 3) sRGB."""
    caption: str = ""
    """What it shows, in words; empty when nobody said."""
    notes: tuple[str, ...] = ()
    """What reading changed, for example "rotated" or "alpha over white"."""


@dataclass(frozen=True, kw_only=True)
class PartRegion:
    """One part of one person in an image."""

    part: str
    """Of ``vocabulary.PARTS``."""
    side: str
    """left or right for paired parts, else none."""
    person: int
    """Number of the person in the image, 0 for the largest."""
    mask: BoolArray
    """(H, W) True on the part's pixels."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the mask in pixels, end exclusive."""
    keypoints: FloatArray
    """(K, 3) x and y in pixels, confidence in [0, 1]; confidence 0 where a point is not known."""
    keypoint_names: tuple[str, ...]
    """K names of ``wholebody.KEYPOINTS``."""
    confidence: float
    """Of the part as a whole, in [0, 1]."""
    instrument: str
    """Name of the landmarker or segmenter, as the manifest lists it; ``user`` for the user's own masks."""
    cut: bool = False
    """True when the image's edge cuts the part."""

    def point(self, name: str) -> FloatArray | None:
        """(2,) pixels of keypoint ``name``, or None where it is not known."""
        if name not in self.keypoint_names:
            return None
        row = self.keypoints[self.keypoint_names.index(name)]
        return row[:2] if row[2] > 0 else None


@dataclass(frozen=True, kw_only=True)
class EditedPhoto:
    """Both sides of a pair made from one image, after the same round trip, and what was done."""

    chosen: ByteArray
    """(H, W, 3) the right side: the photograph, with the traces of resampling that the other side has."""
    rejected: ByteArray
    """(H, W, 3) the edited side; equal to ``chosen`` to the bit where ``mask`` is 0."""
    mask: ByteArray
    """(H, W) 255 inside the touched region, 0 outside."""
    edit: Edit
    instruments: tuple[str, ...] = ()
    """Names of the models that took part (an inpainting pipeline, a screening instrument)."""
