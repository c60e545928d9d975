"""Images from a model: prompts by seeds, the round trip that gives rendered truth the model's look, regions anew."""

from asap.generate.regenerate import regenerate
from asap.generate.roundtrip import round_trip
from asap.generate.sampler import GeneratedImage, generate

__all__ = ["GeneratedImage", "generate", "regenerate", "round_trip"]
