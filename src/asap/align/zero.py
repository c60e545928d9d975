"""Gradients and Adam's moments spread over processes by DeepSpeed's ZeRO-2; weights stay whole in each of them.

DeepSpeed's engine reduces gradients while they are made, keeps one part of them in each process, and moves a flat copy
of the trained weights. The trainer's own order of things is kept: micro-batches, norm, refusal of nonsense, step. What
a checkpoint holds is what one process without DeepSpeed would hold, so that a run goes on with it and without.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from asap.align.sharding import lay_out_plainly, refusals
from asap.core.errors import ConfigError

__all__ = ["Zero", "unzeroable"]

MOMENTS: Final = ("exp_avg", "exp_avg_sq")
STAGE: Final = 2


class _Settings(Protocol):
    @property
    def batch_size(self) -> int: ...
    @property
    def max_grad_norm(self) -> float: ...


def unzeroable(denoiser: nn.Module, settings: Mapping[str, object]) -> list[str]:
    """What a run asks for that does not go with ZeRO-2, in words."""
    why: dict[tuple[str, object], str] = {
        ("gradient", "two_pass"): "takes gradients past DeepSpeed's engine; checkpointing spares memory there",
        ("skip", True): "takes gradients past DeepSpeed's engine",
        ("compile", True): "was never tried with it",
        ("precision", "fp16"): "scales its loss itself; take bf16",
        ("optimizer", "adamw8bit"): "keeps moments that cannot be spread; take adamw",
        ("optimizer", "adamw8bit_ao"): "keeps moments that cannot be spread; take adamw",
    }
    return refusals(denoiser, settings, why, "DeepSpeed")


class Zero:
    """DeepSpeed's engine around a policy, as the trainer needs it.

    Forwards go to the policy itself: gradients are met at the weights, and the engine's own forward switches off an
    autocast that it was not told of.
    """

    def __init__(self, accelerator: Any, policy: nn.Module, optimizer: torch.optim.Optimizer, how: _Settings) -> None:  # noqa: ANN401
        """Wrap the policy; all processes call it.

        Raises:
            ConfigError: the launcher asks for another stage than ZeRO-2, or for moments in main memory.
        """
        plugin = accelerator.deepspeed_plugin
        _check(plugin)
        plugin.deepspeed_config |= {
            "train_micro_batch_size_per_gpu": how.batch_size,
            "gradient_accumulation_steps": 1,  # shares of micro-batches are the trainer's
            "gradient_clipping": how.max_grad_norm,
        }
        lay_out_plainly(policy)
        self.weights = [value for value in policy.parameters() if value.requires_grad]
        self.engine, _ = accelerator.prepare(policy, optimizer)
        self.spread: Any = self.engine.optimizer
        """DeepSpeed's optimizer, which holds the parts."""
        self.adam: torch.optim.Optimizer = self.spread.optimizer
        """The one that moves this process's part."""

    def last(self, last: bool) -> None:
        """Whether the micro-batch to come is the step's last."""
        self.engine.set_gradient_accumulation_boundary(last)

    def backward(self, loss: Tensor) -> None:
        """Add a gradient to this process's part."""
        self.engine.backward(loss, scale_wrt_gas=False)

    def norm(self) -> float:
        """Of the joined gradient, before clipping; not a number where DeepSpeed finds none. Collective."""
        found = float(self.spread.scaled_global_norm())
        return found if found >= 0 else math.nan

    def move(self) -> None:
        """Clip, step and forget the gradient. Collective."""
        self.engine.step()

    def state(self) -> dict[str, Any]:
        """What AdamW's ``state_dict`` would be of whole weights. Collective."""
        from deepspeed.utils import safe_get_full_optimizer_state

        (group,) = self.adam.param_groups
        kept = {name: value for name, value in group.items() if name != "params"}
        held = self.adam.state.get(group["params"][0])
        moments = {
            number: {
                "step": held["step"].clone(),
                **{name: safe_get_full_optimizer_state(value, name).cpu() for name in MOMENTS},
            }
            for number, value in enumerate(self.weights)
            if held
        }
        return {"state": moments, "param_groups": [{**kept, "params": list(range(len(self.weights)))}]}

    def restore(self, weights: Sequence[Tensor], state: Mapping[str, Any]) -> None:
        """Take the values of weights, whole and in the trainer's order, and what ``state`` gave."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        for own, value in zip(self.weights, weights, strict=True):
            safe_set_full_fp32_param(own, value.to(own.device, torch.float32))
        if not (moments := state["state"]):
            return
        (group,) = self.adam.param_groups
        part = group["params"][0]
        self.adam.state[part] = {
            "step": moments[0]["step"].clone(),
            **{name: torch.zeros_like(part) for name in MOMENTS},
        }
        self.spread._lazy_init_hp_params_optimizer_state()  # so that the parts are found by weight
        for number, own in enumerate(self.weights):
            for name in MOMENTS:
                safe_set_full_optimizer_state(own, moments[number][name].to(own.device), name)


def _check(plugin: Any) -> None:  # noqa: ANN401
    zero = plugin.deepspeed_config.get("zero_optimization", {})
    away = [name for name in ("offload_optimizer", "offload_param") if zero.get(name, {}).get("device") not in _HERE]
    if zero.get("stage") != STAGE or away:
        asked = f"stage {zero.get('stage')}" + "".join(f", {name}" for name in away)
        raise ConfigError(
            f"asap train takes ZeRO-2 of DeepSpeed with everything on the GPU, the launcher asks for {asked}; launch "
            "with configs/accelerate/deepspeed.yaml, or with fsdp2.yaml to spread weights as well"
        )


_HERE: Final = (None, "none")
