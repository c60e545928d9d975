"""Alignment: pure losses, the policy and its reference, one step, one trainer."""

from asap.align.methods import METHODS, LossSettings, Method, PairErrors, resolve_method
from asap.align.settings import TrainSettings
from asap.align.trainer import Trainer

__all__ = [
    "METHODS",
    "LossSettings",
    "Method",
    "PairErrors",
    "TrainSettings",
    "Trainer",
    "resolve_method",
]
