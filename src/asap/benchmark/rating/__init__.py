"""People as a judge: a blind page that shows one image at a time, and the verdict of several raters."""

from asap.benchmark.rating.answers import ANSWERS, majority, order_of, read_rating
from asap.benchmark.rating.app import Rating, build_app
from asap.benchmark.rating.preference import preference

__all__ = ["ANSWERS", "Rating", "build_app", "majority", "order_of", "preference", "read_rating"]
