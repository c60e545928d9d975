from dataclasses import replace

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import ByteArray
from asap.core.vocabulary import PARTS
from asap.degrade.diffusion import inpaint_pair
from asap.degrade.diffusion.prompts import STRENGTHS, fault_prompt, faults, negative_prompt
from tests.degrade.diffusion.conftest import FakeInpainter, pair_of


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_pair(photo: ByteArray, hand: PartRegion) -> None:
    inpainter = FakeInpainter()
    before = photo.copy()
    pair = pair_of(inpaint_pair, photo, hand, 2, rng(), inpainter, caption="a woman waves")
    assert (photo == before).all()
    inside = pair.mask == 255
    assert set(np.unique(pair.mask)) == {0, 255}
    assert inside[hand.mask].all()
    assert (pair.chosen[~inside] == pair.rejected[~inside]).all()
    assert (pair.chosen[~inside] == photo[~inside]).all()
    assert (pair.edit.kind, pair.edit.part, pair.edit.side) == ("defect", "hand", "left")
    assert (pair.edit.operation, pair.edit.severity) == ("misshapen", 2)
    assert pair.edit.detail["asked"] in faults("hand")
    assert pair.instruments == ("fake",)
    call = inpainter.calls[0]
    assert str(call["prompt"]).startswith(f"photograph, {pair.edit.detail['asked']}, clearly deformed, a woman waves")
    assert call["strength"] == STRENGTHS[2]
    assert "five fingers" in str(call["negative"])


def test_same_draws_same_pair_other_draws_another(photo: ByteArray, hand: PartRegion) -> None:
    first, again, other = (pair_of(inpaint_pair, photo, hand, 3, rng(seed), FakeInpainter()) for seed in (1, 1, 2))
    assert (first.rejected == again.rejected).all()
    assert first.edit == again.edit
    assert (first.rejected != other.rejected).any()
    assert (first.chosen == other.chosen).all()


def test_severity_gives_up_more_and_says_so(photo: ByteArray, hand: PartRegion) -> None:
    inpainter = FakeInpainter()
    for severity in (1, 2, 3):
        pair_of(inpaint_pair, photo, hand, severity, rng(), inpainter)
    strengths = [float(str(call["strength"])) for call in inpainter.calls]
    assert strengths == sorted(set(strengths))
    assert len({str(call["prompt"]) for call in inpainter.calls}) == 3


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_prompts(part: str) -> None:
    assert len(set(faults(part))) >= 3
    for fault in faults(part):
        assert fault_prompt(fault, 1, "") == f"photograph, {fault}, slightly deformed"
    assert part in negative_prompt(part)


def test_the_fault_comes_before_the_caption() -> None:
    assert fault_prompt("torn hand", 3, " a man ") == "photograph, torn hand, grossly deformed, a man"
    assert fault_prompt("torn hand", 3, "") == "photograph, torn hand, grossly deformed"


def test_refusals(photo: ByteArray, hand: PartRegion) -> None:
    with pytest.raises(InputError, match="severity must be 1, 2 or 3, not 4"):
        pair_of(inpaint_pair, photo, hand, 4, rng(), FakeInpainter())
    with pytest.raises(InputError, match="is empty"):
        pair_of(inpaint_pair, photo, replace(hand, mask=np.zeros_like(hand.mask)), 1, rng(), FakeInpainter())
    with pytest.raises(InputError, match="must have the shape"):
        pair_of(inpaint_pair, photo[:50], hand, 1, rng(), FakeInpainter())
    with pytest.raises(InputError, match="needs maps"):
        pair_of(inpaint_pair, photo, hand, 1, rng(), FakeInpainter(maps=("pose",)))
