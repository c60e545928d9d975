"""Tensor operations on images and masks. Legend: B batch, C channels, H and W pixels, h and w latent cells."""

from asap.tensors.images import to_bytes, to_signed
from asap.tensors.masks import to_latent_mask
from asap.tensors.tokens import pack, unpack

__all__ = ["pack", "to_bytes", "to_latent_mask", "to_signed", "unpack"]
