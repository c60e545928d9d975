"""Break one part of a photographed person with a diffusion model; torch is imported where a painter is loaded."""

from asap.degrade.diffusion.breaks import BREAKS
from asap.degrade.diffusion.guided import guided
from asap.degrade.diffusion.load import load_painter
from asap.degrade.diffusion.maps import BodyMaps
from asap.degrade.diffusion.painter import KINDS, MAPS, Painter
from asap.degrade.diffusion.repaint import repaint
from asap.degrade.diffusion.skeleton import BrokenSkeleton, break_skeleton, skeleton
from asap.degrade.diffusion.window import SEAMS

__all__ = [
    "BREAKS",
    "KINDS",
    "MAPS",
    "SEAMS",
    "BodyMaps",
    "BrokenSkeleton",
    "Painter",
    "break_skeleton",
    "guided",
    "load_painter",
    "repaint",
    "skeleton",
]
