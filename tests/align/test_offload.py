"""Frozen weights that are copied to the device layer by layer give the same training."""

from typing import Any

import pytest
import torch

from asap.align.adapters import AdapterSettings, adapt
from asap.align.offload import is_offloaded, offload_frozen
from asap.align.policy import Policy
from asap.core.errors import ConfigError
from tests.align.fakes import Alignment, TinyBackbone, alignment, assert_same, policies, weights


def away() -> Policy:
    policy = adapt(TinyBackbone(), AdapterSettings(rank=2), seed=3)
    assert offload_frozen(policy.denoiser, torch.device("cpu")) > 20
    return policy


def taken(policy: Policy, **settings: Any) -> Alignment:  # noqa: ANN401
    run = alignment("asap", policy=policy, loss={"target_margin": 0.5}, steps=20, batch_size=2, lr=1e-4, **settings)
    list(run.steps())
    return run


@pytest.mark.parametrize("checkpointing", [False, True])
def test_twenty_steps_are_bit_identical(checkpointing: bool) -> None:
    here, there = taken(policies(lora=True)), taken(away(), checkpointing=checkpointing)
    assert_same(weights(here), weights(there))
    assert all("lora_B" not in name or bool(value.any()) for name, value in weights(here).items())


def test_between_forwards_only_trained_weights_are_on_the_device() -> None:
    policy = away()
    taken(policy)
    assert is_offloaded(policy)
    assert not is_offloaded(policies(lora=True))
    for name, value in policy.named_parameters():
        assert value.is_meta != ("lora_" in name), name


def test_nothing_to_offload_where_nothing_is_frozen() -> None:
    with pytest.raises(ConfigError, match="every weight is trained; train an adapter"):
        offload_frozen(policies(lora=False).denoiser, torch.device("cpu"))
