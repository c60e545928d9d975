"""Text of unlike lengths in one tensor."""

import torch

from asap.backbones.protocol import TextCondition
from asap.backbones.text import blanked, padded, rows, trimmed


def test_rows_come_back_without_their_padding() -> None:
    texts = [torch.randn(3, 2), torch.randn(5, 2), torch.randn(1, 2)]
    condition = padded(texts, 7)
    assert condition.tensors["text"].shape == (3, 7, 2)
    assert condition.tensors["mask"].sum(1).tolist() == [3, 5, 1]
    assert all(torch.equal(a, b) for a, b in zip(rows(condition), texts, strict=True))
    assert not condition.tensors["text"][~condition.tensors["mask"]].any()


def test_a_batch_is_cut_to_its_longest_row() -> None:
    condition = padded([torch.ones(3, 2), torch.ones(5, 2), torch.ones(1, 2)], 7)
    text, mask = trimmed(condition.index([2, 0]))
    assert text.tolist() == [[[1, 1], [0, 0], [0, 0]], [[1, 1]] * 3]
    assert mask.tolist() == [[True, False, False], [True] * 3]


def test_padding_is_blanked_where_a_mask_says_what_it_is() -> None:
    condition = TextCondition({"text": torch.ones(2, 3, 2), "mask": torch.tensor([[True, False, False], [True] * 3])})
    assert blanked(condition).tensors["text"].sum(dim=2).tolist() == [[2, 0, 0], [2, 2, 2]]
    assert torch.equal(blanked(condition).tensors["mask"], condition.tensors["mask"])
    attended = TextCondition({"text": torch.ones(2, 3, 2)})
    assert blanked(attended) is attended


def test_parts_of_unlike_lengths_can_be_joined() -> None:
    parts = [padded([torch.ones(length, 2)], 4) for length in (1, 4)]
    joined = TextCondition({name: torch.cat([part.tensors[name] for part in parts]) for name in ("text", "mask")})
    assert [len(row) for row in rows(joined)] == [1, 4]
