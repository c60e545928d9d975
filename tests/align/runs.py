"""Runs that are compared by the weights of the network that they train."""

from typing import Any

from torch import Tensor

from tests.align.fakes import Alignment, alignment

STEPS = 20
EQUAL = 1e-6
"""Largest change of a weight, relative to the largest of its tensor, that counts as the same training."""


def taken(method: str = "asap", **settings: Any) -> Alignment:  # noqa: ANN401
    """A run after twenty steps of two pairs."""
    run = alignment(method, **{"lora": True, "steps": STEPS, "batch_size": 2, "lr": 1e-4, **settings})
    list(run.steps())
    return run


def difference(left: Alignment, right: Alignment) -> float:
    """Largest difference of a trained network's effective weights, relative to the largest weight of its tensor."""
    pairs = zip(effective(left), effective(right), strict=True)
    return max(float((one - other).abs().max() / one.abs().max()) for one, other in pairs)


def effective(run: Alignment) -> list[Tensor]:
    """Weights of the network as it computes: base plus adapter; or all matrices and kernels.

    Biases start at 0 and are as small as AdamW's steps, which have no size relative to them.
    """
    policy = run.task.policy
    layers = [module for module in policy.modules() if hasattr(module, "get_delta_weight")]
    if not layers:
        return [value.detach() for value in policy.parameters() if value.ndim > 1]
    return [(module.base_layer.weight + module.get_delta_weight("default")).detach() for module in layers]  # type: ignore[union-attr, operator]
