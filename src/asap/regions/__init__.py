"""Find the parts of people in photographs: decoding, landmarkers, segmenters, and masks from the user."""

from asap.regions.decoding import decode
from asap.regions.landmarkers import LANDMARKERS, landmarker
from asap.regions.protocol import Landmarker
from asap.regions.user import user_parts

__all__ = ["LANDMARKERS", "Landmarker", "decode", "landmarker", "user_parts"]
