"""Texts of different lengths in one tensor: rows padded with zeros to one length, and a mask of the text.

A family whose denoiser takes text of any length stores it as ``text`` (B, L, D) and ``mask`` (B, L), bool, true for
text; in every row true comes before false. L is the family's maximal length, the same for every prompt, so rows can be
stored and concatenated. The prediction depends neither on L, as long as the longest row fits, nor on the values of
the padding: ``blanked`` sets them to zero, which compresses well. A condition without ``mask`` (CLIP's, and T5's in SD3
and FLUX) has padding that the denoiser attends to, and stays as it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from asap.backbones.protocol import TextCondition

__all__ = ["blanked", "padded", "rows", "trimmed"]


def padded(texts: Sequence[Tensor], length: int) -> TextCondition:
    """Embeddings (L_i, D) with L_i <= ``length`` as one condition, float32."""
    width = texts[0].shape[-1]
    text = torch.zeros(len(texts), length, width, device=texts[0].device)
    mask = torch.zeros(len(texts), length, dtype=torch.bool, device=texts[0].device)
    for row, values in enumerate(texts):
        text[row, : len(values)] = values.float()
        mask[row, : len(values)] = True
    return TextCondition({"text": text, "mask": mask})


def trimmed(condition: TextCondition) -> tuple[Tensor, Tensor]:
    """``text`` (B, L, D) and ``mask`` (B, L) cut to the longest row."""
    mask = condition.tensors["mask"]
    longest = int(mask.sum(1).max())
    return condition.tensors["text"][:, :longest], mask[:, :longest]


def rows(condition: TextCondition) -> list[Tensor]:
    """The embeddings (L_i, D) of each row, without padding; undoes ``padded``."""
    lengths = condition.tensors["mask"].sum(1).tolist()
    return [text[:length] for text, length in zip(condition.tensors["text"], lengths, strict=True)]


def blanked(condition: TextCondition) -> TextCondition:
    """The same condition with zeros as padding, which a store keeps in almost no space."""
    if "mask" not in condition.tensors:
        return condition
    text, mask = condition.tensors["text"], condition.tensors["mask"]
    return TextCondition({**condition.tensors, "text": text * mask[..., None].to(text)})
