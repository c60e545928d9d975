"""Break one part of a photographed person with a diffusion model. Importing this package does not import torch."""

from asap.degrade.diffusion.batches import Painting, paint_all
from asap.degrade.diffusion.controlnet import controlnet_pair
from asap.degrade.diffusion.inpaint import inpaint_pair
from asap.degrade.diffusion.inpainter import KINDS, MAPS, Inpainter, PaintRequest
from asap.degrade.diffusion.maps import BodyMaps
from asap.degrade.diffusion.screens import LandmarkScreen, Screen, VlmScreen, instrument
from asap.degrade.diffusion.skeleton import BrokenSkeleton, break_skeleton, skeleton_pair
from asap.degrade.diffusion.skeleton_operations import SKELETON_OPERATIONS
from asap.degrade.diffusion.window import SEAMS

__all__ = [
    "KINDS",
    "MAPS",
    "SEAMS",
    "SKELETON_OPERATIONS",
    "BodyMaps",
    "BrokenSkeleton",
    "Inpainter",
    "LandmarkScreen",
    "PaintRequest",
    "Painting",
    "Screen",
    "VlmScreen",
    "break_skeleton",
    "controlnet_pair",
    "inpaint_pair",
    "instrument",
    "paint_all",
    "skeleton_pair",
]
