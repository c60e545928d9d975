"""A model's tries without a model, and a screen of them: each place is a grey, and brighter is worse."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asap.backbones import Backbone
from asap.core.records import ByteArray
from asap.gates import GateLimits
from asap.workflows.pairs import on_policy
from asap.workflows.pairs.on_policy import OnPolicy

SCREEN_PRINT = "f" * 64


class Stored:
    """Stands for a learned judge."""

    network, threshold, fingerprint = None, 127.0, SCREEN_PRINT


def bright(network: None, images: ByteArray) -> Any:  # noqa: ANN401
    """What the screen says."""
    del network
    return SimpleNamespace(score=images.mean((1, 2, 3)).astype(np.float32))


def tries(backbone: Backbone, images: ByteArray, masks: ByteArray, *rest: Any, **how: object) -> Any:  # noqa: ANN401
    """Each place in a grey that its seed decides."""
    del backbone, how
    grey = np.array([seed % 256 for seed in rest[-1]], dtype=np.uint8)[:, None, None, None]
    return images, np.where(masks[..., None] > 0, grey, images)


def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the gates only those of size and of what is outside are kept."""
    limits = replace(GateLimits(), background_ssim_min=-1.0, edge_ssim_min=-1.0, area_max=1.0, region_ssim_min=-1.0)
    monkeypatch.setattr(on_policy, "limits_of", lambda scene: limits)
    monkeypatch.setattr(OnPolicy, "one_process", True)  # in this process, so that changed limits hold
    monkeypatch.setattr(OnPolicy, "chunk", 4)
    monkeypatch.setattr(OnPolicy, "batch", 4)


@pytest.fixture(name="screened")
def screened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries and screen in the place of a model's and a judge's."""
    lenient(monkeypatch)
    monkeypatch.setattr("asap.workflows.evaluation.learned.judge_named", lambda name, device: Stored())
    monkeypatch.setattr("asap.benchmark.judge.predict", bright)
    monkeypatch.setattr("asap.generate.regenerate", tries)
    on_policy._load_ranker.cache_clear()
