"""Records for photographs that packages exchange: frozen and keyword-only.

Legend: H and W pixels, K keypoints. Images are (H, W, 3) sRGB bytes, upright. Left and right are the person's own.
"""

from dataclasses import dataclass

from asap.core.records import BoolArray, ByteArray, Edit, FloatArray


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded photograph, upright and in sRGB. Its metadata are discarded."""

    name: str
    """Path relative to its source folder, with forward slashes."""
    digest: str
    """SHA-256 of the file."""
    image: ByteArray
    """(H, W, 3) sRGB."""
    caption: str = ""
    """Caption; empty if there is none."""
    notes: tuple[str, ...] = ()
    """Changes made by decoding, for example "rotated" or "alpha over white"."""


@dataclass(frozen=True, kw_only=True)
class PartRegion:
    """One part of one person in an image."""

    part: str
    """One of ``vocabulary.PARTS``."""
    side: str
    """left or right for paired parts, else none."""
    person: int
    """Index of the person in the image, 0 for the largest."""
    mask: BoolArray
    """(H, W) True on the part's pixels."""
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the mask in pixels, end exclusive."""
    keypoints: FloatArray
    """(K, 3) x and y in pixels, confidence in [0, 1]; confidence 0 if a point is not known."""
    keypoint_names: tuple[str, ...]
    """K names of ``wholebody.KEYPOINTS``."""
    confidence: float
    """Confidence of the part as a whole, in [0, 1]."""
    instrument: str
    """Name of the landmarker or segmenter, as the manifest lists it; ``user`` for the user's own masks."""
    cut: bool = False
    """True if the edge of the image cuts the part."""

    def point(self, name: str) -> FloatArray | None:
        """(2,) pixels of keypoint ``name``, or None if it is not known."""
        if name not in self.keypoint_names:
            return None
        row = self.keypoints[self.keypoint_names.index(name)]
        return row[:2] if row[2] > 0 else None


@dataclass(frozen=True, kw_only=True)
class EditedPhoto:
    """Both sides of a pair made from one image, after the same round trip, and the edit."""

    chosen: ByteArray
    """(H, W, 3) the photograph, with the same traces of resampling as the other side."""
    rejected: ByteArray
    """(H, W, 3) the edited side; bit-identical to ``chosen`` where ``mask`` is 0."""
    mask: ByteArray
    """(H, W) 255 inside the touched region, 0 outside."""
    edit: Edit
    instruments: tuple[str, ...] = ()
    """Names of the models that took part (an inpainting pipeline, a screen)."""
