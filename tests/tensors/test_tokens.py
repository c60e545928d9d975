"""Packing is held against values worked by hand and against the pipelines that the tokens are meant for."""

import pytest
import torch

from asap.core.errors import InputError
from asap.tensors import pack, unpack


def test_a_token_lists_its_channels_each_row_by_row() -> None:
    latents = torch.arange(16.0).reshape(1, 2, 2, 4)
    assert pack(latents).tolist() == [[[0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]]]


def test_unpack_undoes_pack() -> None:
    latents = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    assert pack(latents).shape == (2, 6, 12)
    assert torch.equal(unpack(pack(latents), (6, 4)), latents)


def test_tokens_are_those_of_diffusers() -> None:
    from diffusers import Flux2KleinPipeline, FluxPipeline

    latents = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 3, 6, 4))
    assert torch.equal(pack(latents), Flux2KleinPipeline._pack_latents(Flux2KleinPipeline._patchify_latents(latents)))


def test_one_cell_is_one_token() -> None:
    """Cell (3, 2) of 6 x 4 lies in the second row and second column of 3 x 2 tokens."""
    latents = torch.zeros(1, 1, 6, 4)
    latents[0, 0, 3, 2] = 1
    assert pack(latents)[0].nonzero().tolist() == [[3, 2]]


def test_odd_latents_are_refused() -> None:
    with pytest.raises(InputError, match=r"even height and width to be packed, got \(1, 4, 3, 4\)"):
        pack(torch.zeros(1, 4, 3, 4))
