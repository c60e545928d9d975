"""Frozen weights that come and go by layer give the same training."""

from typing import Any

import pytest
import torch

from asap.align.adapters import add_lora
from asap.align.offload import is_offloaded, offload_frozen
from asap.align.policy import Policy
from asap.align.trainer import Trainer
from asap.core.errors import ConfigError
from tests.align.fakes import TinyBackbone, policies, trainer


def away() -> Policy:
    policy = add_lora(TinyBackbone(), rank=2, alpha=None, seed=3)
    assert offload_frozen(policy.denoiser, torch.device("cpu")) > 20
    return policy


def taken(policy: Policy, **settings: Any) -> Trainer:  # noqa: ANN401
    run = trainer("asap", policy=policy, loss={"tau": 0.5}, steps=20, batch_size=2, lr=1e-4, **settings)
    list(run.steps())
    return run


@pytest.mark.parametrize("checkpointing", [False, True])
def test_twenty_steps_are_the_same_to_the_bit(checkpointing: bool) -> None:
    here, there = taken(policies(lora=True)), taken(away(), checkpointing=checkpointing)
    assert here.weights.keys() == there.weights.keys()
    for name, value in here.weights.items():
        assert torch.equal(value, there.weights[name]), name
        assert "lora_B" not in name or bool(value.detach().any())


def test_between_forwards_only_what_is_trained_is_there() -> None:
    policy = away()
    taken(policy)
    assert is_offloaded(policy)
    assert not is_offloaded(policies(lora=True))
    for name, value in policy.named_parameters():
        assert value.is_meta != ("lora_" in name), name


def test_where_nothing_is_frozen_nothing_can_go() -> None:
    with pytest.raises(ConfigError, match="every weight is trained; train an adapter"):
        offload_frozen(policies(lora=False).denoiser, torch.device("cpu"))
