"""Generate images with a model: from prompts and seeds, by a round trip of rendered images, or inside a region only."""

from asap.generate.regenerate import regenerate
from asap.generate.regions import region_box
from asap.generate.roundtrip import round_trip
from asap.generate.sampler import GeneratedImage, generate

__all__ = ["GeneratedImage", "generate", "regenerate", "region_box", "round_trip"]
