from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asap.core.errors import ConfigError, InputError, UnknownNameError
from asap.core.photos import EditedPhoto
from asap.core.records import Edit
from asap.degrade.diffusion import BodyMaps, Inpainter, controlnet_pair
from asap.degrade.diffusion.load import load_inpainter
from tests.degrade.diffusion.conftest import FakeInpainter, pair_of
from tests.degrade.diffusion.test_maps import maps
from tests.degrade.diffusion.tiny import SIZE

Tiny = Callable[..., str]
EDIT = Edit(kind="defect", part="hand", side="left", operation="extra", severity=2, detail={"after": 1})


def square(size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[24:40, 24:40] = True
    return mask


def pair(inpainter: Inpainter, seed: int = 0, rejected: BodyMaps | None = None) -> EditedPhoto:
    broken = rejected if rejected is not None else maps(1.0, size=SIZE)
    draws = np.random.default_rng(seed)
    return pair_of(
        controlnet_pair, SIZE, maps(size=SIZE), broken, square(), EDIT, draws, inpainter, caption="a man waves"
    )


def test_three_calls_from_one_seed_and_one_prompt() -> None:
    inpainter = FakeInpainter(maps=("depth", "pose"))
    result = pair(inpainter)
    first, right, wrong = inpainter.calls
    assert first["seed"] == right["seed"] == wrong["seed"] == result.edit.detail["seed"]
    assert {str(call["prompt"]) for call in inpainter.calls} == {"a man waves"}
    assert {float(str(call["strength"])) for call in inpainter.calls} == {1.0}
    assert np.asarray(first["mask"]).all()
    assert np.array_equal(right["mask"], wrong["mask"])  # type: ignore[arg-type]
    assert np.array_equal(right["image"], wrong["image"])  # type: ignore[arg-type]
    assert np.array_equal(first["control"]["depth"], right["control"]["depth"])  # type: ignore[index]
    assert not np.array_equal(right["control"]["depth"], wrong["control"]["depth"])  # type: ignore[index]
    assert (result.edit.operation, result.edit.severity, result.edit.detail["after"]) == ("extra", 2, 1)
    assert result.edit.detail["maps"] == "depth,pose"


def test_outside_is_equal_to_the_bit() -> None:
    result = pair(FakeInpainter(maps=("depth",)))
    outside = result.mask == 0
    assert (result.chosen[outside] == result.rejected[outside]).all()
    assert (result.mask[square()] == 255).all()


@pytest.mark.parametrize(
    ("model", "networks"),
    [
        ("sd", "depth=sd-controlnet,normal=sd-controlnet-1"),
        ("sdxl", "depth=sdxl-union,normal=sdxl-union"),
        ("flux", "depth=flux-union,pose=flux-union"),
        ("flux", "depth=flux-controlnet,normal=flux-controlnet-1"),
        ("z-image", "z-image-controlnet"),
    ],
)
def test_end_to_end_from_one_noise(model: str, networks: str, tiny: Tiny) -> None:
    inpainter = load_inpainter("guided", tiny(model), controlnet=folders(tiny, networks), steps=2, size=SIZE)
    given = record_noise(inpainter)
    result, same = pair(inpainter), pair(inpainter, rejected=maps(size=SIZE))
    assert len(given) == 12
    for noise in given[2::2]:
        assert np.array_equal(noise, given[0])
    outside = result.mask == 0
    assert (result.chosen[outside] == result.rejected[outside]).all()
    assert (result.chosen != result.rejected).any()
    assert (same.chosen == same.rejected).all()  # equal maps, equal sides: nothing but the maps makes the difference


def folders(tiny: Tiny, networks: str) -> str:
    """``depth=KIND-SEED,...`` with the folders of those kinds."""
    out = []
    for item in networks.split(","):
        head, sign, kind = item.rpartition("=")
        stem, _, seed = kind.rpartition("-")
        out.append(head + sign + (tiny(stem, int(seed)) if seed.isdigit() else tiny(kind)))
    return ",".join(out)


def record_noise(inpainter: Any) -> list[np.ndarray]:  # noqa: ANN401
    """What the ControlNet is given in each step, to be filled as calls are made; the first of a call is its noise."""
    network, noises = inpainter.pipeline.controlnet, []
    forward = network.forward

    def watch(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        noises.append((arguments[0] if arguments else named["hidden_states"])[0].numpy().copy())
        return forward(*arguments, **named)

    network.forward = watch
    return noises


def test_maps_are_read_from_the_setting(tiny: Tiny) -> None:
    def load(kind: str, controlnet: str, model: str = "sd") -> Inpainter:
        return load_inpainter(kind, tiny(model), controlnet=controlnet, steps=1, size=SIZE)

    network = tiny("sd-controlnet")
    assert load("guided", network).maps == ("depth",)
    assert load("guided", f"normal={network}").maps == ("normal",)
    with pytest.raises(UnknownNameError, match="depth, normal, pose"):
        load("guided", f"edges={network}")
    with pytest.raises(ConfigError, match="each map once"):
        load("guided", f"depth={network},depth={network}")
    with pytest.raises(ConfigError, match="skeleton draws a pose alone"):
        load("skeleton", f"depth={network}")
    with pytest.raises(ConfigError, match="repaint takes no maps"):
        load("repaint", f"depth={network}")
    with pytest.raises(InputError, match="takes one map"):
        load("guided", f"depth={network},pose={network}")
    with pytest.raises(InputError, match=r"has no mode for normal; it has depth, pose"):
        load("guided", f"normal={tiny('flux-union')}", "flux")


def test_refusals() -> None:
    with pytest.raises(InputError, match="takes no maps"):
        pair(FakeInpainter())
    with pytest.raises(InputError, match="must be"):
        pair_of(
            controlnet_pair,
            32,
            maps(size=SIZE),
            maps(),
            square(),
            EDIT,
            np.random.default_rng(),
            FakeInpainter(maps=("depth",)),
        )
    empty = np.zeros((SIZE, SIZE), dtype=bool)
    with pytest.raises(InputError, match="both bodies look the same"):
        pair_of(
            controlnet_pair,
            SIZE,
            maps(size=SIZE),
            maps(size=SIZE),
            empty,
            EDIT,
            np.random.default_rng(),
            FakeInpainter(maps=("depth",)),
        )
