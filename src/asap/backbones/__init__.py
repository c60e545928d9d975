"""Model families behind one protocol. ``load("mini")`` loads the embedded model; ``paths`` defines time and sign."""

from asap.backbones.families import MODELS, load
from asap.backbones.protocol import Backbone, TextCondition

__all__ = ["MODELS", "Backbone", "TextCondition", "load"]
