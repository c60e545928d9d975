"""Where the parts of people are in a photograph: reading the file, landmarkers, segmenters, the user's own masks."""

from asap.regions.decoding import decode
from asap.regions.landmarkers import LANDMARKERS, landmarker
from asap.regions.protocol import Landmarker
from asap.regions.user import user_parts

__all__ = ["LANDMARKERS", "Landmarker", "decode", "landmarker", "user_parts"]
