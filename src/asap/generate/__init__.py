"""Pictures from a model: prompts by seeds, and the round trip that gives rendered truth the model's own look."""

from asap.generate.roundtrip import round_trip
from asap.generate.sampler import Picture, generate

__all__ = ["Picture", "generate", "round_trip"]
