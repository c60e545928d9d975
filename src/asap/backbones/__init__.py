"""Model families behind one protocol. ``load("mini")`` gives the embedded one; ``paths`` holds time and sign."""

from asap.backbones.families import MODELS, load
from asap.backbones.protocol import Backbone, TextCondition, adapter_disabled

__all__ = ["MODELS", "Backbone", "TextCondition", "adapter_disabled", "load"]
