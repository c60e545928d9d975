"""Preserved quality beside anatomy: what others measure images with, each a plug-in that is loaded on request.

Weights come from a folder of the user's or from the hub's cache; what is missing is named and its column left blank.
"""

from asap.benchmark.quality.distances import InceptionFeatures, kid
from asap.benchmark.quality.plugins import QUALITY, Scorer, scorer
from asap.benchmark.quality.table import DISTANCES, MEASURES, quality_of

__all__ = ["DISTANCES", "MEASURES", "QUALITY", "InceptionFeatures", "Scorer", "kid", "quality_of", "scorer"]
