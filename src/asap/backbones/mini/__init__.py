"""The embedded text-to-image model: small enough to train and to sample on two cores, a real diffusers pipeline."""

from asap.backbones.mini.backbone import MiniBackbone
from asap.backbones.mini.load import load_folder, load_mini, load_tiny

__all__ = ["MiniBackbone", "load_folder", "load_mini", "load_tiny"]
