"""The identity of a model: a hash of its weights and of what its network predicts."""

import torch
from torch import Tensor, nn

from asap.backbones.paths import FlowPath
from asap.backbones.protocol import Backbone
from asap.core.hashing import digest, digest_json

__all__ = ["model_fingerprint", "tensor_digest"]


def model_fingerprint(backbone: Backbone) -> str:
    """SHA-256 over the name, shape and bytes of every weight of every part of the model, and what its network predicts.

    Taken before an adapter is added, it identifies the model that is aligned. The same weights read as a predictor of
    v and of noise are two models, and their errors must not be mixed up.
    """
    digests = {name: _weights_digest(network) for name, network in sorted(backbone.networks.items())}
    if backbone.path != FlowPath():  # the path of the embedded models, whose fingerprints are of their weights alone
        digests["path"] = repr(backbone.path)
    return digest_json(digests)


def _weights_digest(module: nn.Module) -> str:
    return digest_json({name: tensor_digest(value) for name, value in module.state_dict().items()})


def tensor_digest(value: Tensor) -> str:
    """SHA-256 of a tensor's shape, dtype and bytes."""
    head = f"{tuple(value.shape)}{value.dtype}".encode()
    data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return digest(head + data.tobytes())
