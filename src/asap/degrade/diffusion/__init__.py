"""Break one part of a photographed person with a diffusion model; torch is imported where a painter is loaded."""

from asap.degrade.diffusion.breaks import BREAKS
from asap.degrade.diffusion.guided import guided
from asap.degrade.diffusion.load import load_painter
from asap.degrade.diffusion.maps import BodyMaps
from asap.degrade.diffusion.painter import KINDS, MAPS, Painter
from asap.degrade.diffusion.repaint import repaint
from asap.degrade.diffusion.screens import LandmarkScreen, Screen, VlmScreen, instrument, refuse_judges
from asap.degrade.diffusion.skeleton import BrokenSkeleton, break_skeleton, skeleton
from asap.degrade.diffusion.window import SEAMS

__all__ = [
    "BREAKS",
    "KINDS",
    "MAPS",
    "SEAMS",
    "BodyMaps",
    "BrokenSkeleton",
    "LandmarkScreen",
    "Painter",
    "Screen",
    "VlmScreen",
    "break_skeleton",
    "guided",
    "instrument",
    "load_painter",
    "refuse_judges",
    "repaint",
    "skeleton",
]
