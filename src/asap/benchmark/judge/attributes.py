"""What an image shows of its caption: colours, fingers, gesture.

The heads are fitted last, on a trunk that stays as it is: so they cost the verdict nothing, and a verdict's training,
which must not care for colour, costs them nothing. They see each image once and go over the features many times.

Legend: N images, F features.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from asap.benchmark.judge.batches import Batcher
from asap.benchmark.judge.network import JudgeNetwork
from asap.core.seeds import derive
from asap.tensors.precision import precision

__all__ = ["fit_attributes"]

EPOCHS: Final = 40
BATCH: Final = 128
RATE: Final = 3e-3
DECAY: Final = 0.05


def fit_attributes(network: JudgeNetwork, batcher: Batcher, seed: int) -> None:
    """Fit the attribute heads of ``network``, in place, to all pairs of ``batcher``; nothing else changes.

    ``seed`` decides the heads' first weights, order and dropout.
    """
    if not network.spec.attributes:
        return
    features, labels = _features(network, batcher)
    network.said_mean.copy_(features.mean(0))
    network.said_spread.copy_(features.std(0) + 1e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "judge-attributes"))
        heads = [network.attribute_trunk, network.attribute_heads]
        for module in (one for head in heads for one in head.modules() if isinstance(one, torch.nn.Linear)):
            module.reset_parameters()
        _fit(network, features, labels, [weight for head in heads for weight in head.parameters()])
    network.eval()


@torch.no_grad()
def _features(network: JudgeNetwork, batcher: Batcher) -> tuple[Tensor, dict[str, Tensor]]:
    """(N, F), and for each attribute (N,) class indices, -1 unknown; both on the network's device."""
    network.eval()
    rows, labels = [], []
    for images, targets in batcher.every():
        moved = images.to(network.device)
        with precision(device=network.device):
            near, far = network.at_scale(moved), network.at_scale(F.avg_pool2d(moved, 2))
            rows.append(network.described(moved, near, far).float())
        labels.append(targets.attributes)
    names = [name for name, _ in network.spec.attributes]
    return torch.cat(rows), {name: torch.cat([one[name] for one in labels]).to(network.device) for name in names}


def _fit(network: JudgeNetwork, features: Tensor, labels: dict[str, Tensor], weights: list[Tensor]) -> None:
    """AdamW over the features in a new order each epoch."""
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
    network.attribute_trunk.train()
    for _ in range(EPOCHS):
        for index in torch.split(torch.randperm(len(features)).to(features.device), BATCH):
            loss = _error(network.attributes(features[index]), {name: row[index] for name, row in labels.items()})
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()


def _error(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> Tensor:
    """Mean over attributes of the cross entropy over known labels; 0 for an attribute without one."""
    terms = [
        F.cross_entropy(logits[name], label, ignore_index=-1, reduction="sum") / (label >= 0).sum().clamp_min(1)
        for name, label in labels.items()
    ]
    return torch.stack(terms).mean()
