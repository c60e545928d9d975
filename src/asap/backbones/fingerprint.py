"""The identity of a model: a hash of its weights and of what its network predicts."""

from typing import Any

import torch
from torch import Tensor, nn

from asap.backbones.paths import FlowPath
from asap.backbones.protocol import Backbone
from asap.core.hashing import digest, digest_json

__all__ = ["model_fingerprint", "tensor_digest"]


def model_fingerprint(backbone: Backbone) -> str:
    """SHA-256 over the name, shape and bytes of every weight of every part of the model, and what its network predicts.

    Taken before an adapter is added, it names the model that was aligned. The same weights read as a predictor of v and
    of noise are two models, whose errors must not be taken for one another's.
    """
    pipeline: Any = getattr(backbone, "pipeline", None)
    parts = dict(pipeline.components) if pipeline is not None else {"denoiser": backbone.denoiser}
    digests = {name: _weights_digest(part) for name, part in sorted(parts.items()) if isinstance(part, nn.Module)}
    if backbone.path != FlowPath():  # the embedded models' own, which were named by their weights alone
        digests["path"] = repr(backbone.path)
    return digest_json(digests)


def _weights_digest(module: nn.Module) -> str:
    return digest_json({name: tensor_digest(value) for name, value in module.state_dict().items()})


def tensor_digest(value: Tensor) -> str:
    """SHA-256 of a tensor's shape, type and bytes."""
    head = f"{tuple(value.shape)}{value.dtype}".encode()
    data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return digest(head + data.tobytes())
