"""A new objective is one ``Method``: here one in the manner of DiffusionNFT (arXiv:2509.16117) on pairs.

The chosen side is fitted by (1 - b) ref + b theta, the rejected one by (1 + b) ref - b theta.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from asap.align.methods import LossSettings, Method, PairErrors
from asap.core.errors import ConfigError
from asap.stores.references import ReferenceStore
from tests.align.fakes import MemoryPairs, alignment, gradient

MIX = 0.5


def combine(policy: Tensor, reference: Tensor, is_chosen: Tensor) -> Tensor:
    toward = (1 - MIX) * reference + MIX * policy
    away = (1 + MIX) * reference - MIX * policy
    return torch.where(is_chosen, toward, away)


def negative_aware(_delta: Tensor, errors: PairErrors, settings: LossSettings) -> Tensor:
    return (errors.policy_chosen + errors.policy_rejected) / settings.target_margin


METHOD = Method(
    name="nft",
    summary="negative-aware fine-tuning on pairs",
    loss=negative_aware,
    unit=lambda settings: settings.target_margin,
    bounded=False,
    combine=combine,
    settings=LossSettings(alpha=2.0, target_margin=0.5),
)


@pytest.mark.parametrize("mode", ["one_pass", "two_pass"])
def test_it_trains_with_one_entry(mode: str) -> None:
    """At step 0 policy and reference agree, so both sides have the reference's error; then the loss falls."""
    run = alignment(METHOD, lora=True, pairs=MemoryPairs(4), fixed_noise_samples=1, gradient=mode, steps=12)
    rows = list(run.steps())
    assert rows[0]["delta"] == pytest.approx(0, abs=1e-6)
    first, last = rows[0]["loss"], rows[-1]["loss"]
    assert first is not None
    assert last is not None
    assert last < first


def test_a_cached_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reuse_reference does not work with nft"):
        alignment(METHOD, lora=True, bank=ReferenceStore(tmp_path, {}))


def test_two_passes_give_its_gradient() -> None:
    one, two = (gradient(alignment(METHOD, lora=True, gradient=mode)) for mode in ("one_pass", "two_pass"))
    largest = max(float(value.abs().max()) for value in one.values())
    assert largest > 0
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], atol=1e-5 * largest, rtol=0, msg=name)
