"""Break one part of a photographed person with a diffusion model; torch is imported where a painter is loaded."""

from asap.degrade.diffusion.load import load_painter
from asap.degrade.diffusion.painter import KINDS, MAPS, Painter
from asap.degrade.diffusion.repaint import repaint
from asap.degrade.diffusion.window import SEAMS

__all__ = ["KINDS", "MAPS", "SEAMS", "Painter", "load_painter", "repaint"]
