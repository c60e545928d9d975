"""LPIPS on tiny weights: by hand, and layer by layer against modules of torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from asap.backbones import lpips
from asap.backbones.lpips import LEAST, SCALE, SHIFT, TRUNKS, load_lpips
from asap.core.errors import InputError, MissingDependencyError, StoreError
from asap.core.records import ByteArray

CHANNELS = 4
KERNELS = {"alex": (11, 5, 3, 3, 3), "vgg": (3,) * 13}


def weights(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under torchvision's names."""
    draw = torch.Generator().manual_seed(seed)
    out, before = {}, 3
    for number, side in zip(TRUNKS[kind].convolutions, KERNELS[kind], strict=True):
        out[f"features.{number}.weight"] = torch.randn(CHANNELS, before, side, side, generator=draw) / side
        out[f"features.{number}.bias"] = torch.randn(CHANNELS, generator=draw)
        before = CHANNELS
    return out


def heads(seed: int = 1) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {f"lin{number}.model.1.weight": torch.rand(1, CHANNELS, 1, 1, generator=draw) for number in range(5)}


def saved(values: Mapping[str, Tensor], path: Path) -> Path:
    torch.save(dict(values), path)
    return path


def plain(level: int, size: int = LEAST) -> ByteArray:
    return np.full((size, size, 3), level, dtype=np.uint8)


def noisy(seed: int, shape: tuple[int, int] = (66, 70)) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_by_hand(tmp_path: Path) -> None:
    """The first layer reads the red of the middle pixel, 0 for black and 3/4 for white, beside a constant 1.

    So black becomes (0, 1) and white (3, 4)/5; with heads 1 and 2 the distance is 0.6^2 + 2 * 0.2^2 = 0.44 everywhere.
    """
    values = {}
    for number, side in zip(TRUNKS["alex"].convolutions, KERNELS["alex"], strict=True):
        values[f"features.{number}.weight"] = torch.zeros(2, 2, side, side)
        values[f"features.{number}.bias"] = torch.zeros(2)
    gain = 0.75 * SCALE[0] / 2
    values["features.0.weight"] = torch.zeros(2, 3, 11, 11)
    values["features.0.weight"][0, 0, 5, 5] = gain
    values["features.0.bias"] = torch.tensor([gain * (1 + SHIFT[0]) / SCALE[0], 1.0])
    ends = {f"lin{number}.model.1.weight": torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1) for number in range(5)}
    metric = load_lpips(saved(values | ends, tmp_path / "both.pth"))
    np.testing.assert_allclose(metric(plain(0), plain(255)), 0.44, atol=1e-5)


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_layer_by_layer(kind: str, tmp_path: Path) -> None:
    """The mean map equals what the paper's formula gives with torch's own layers in torchvision's order."""
    values, ends = weights(kind), heads()
    metric = load_lpips(saved(values, tmp_path / "trunk.pth"), saved(ends, tmp_path / "heads.pth"))
    assert metric.name == f"lpips-{kind}"
    before, total, images = 3, 0.0, []
    for seed in (2, 3):
        pixels = torch.from_numpy(noisy(seed, (96, 96)).astype(np.float32)).permute(2, 0, 1)[None] / 255
        images.append((pixels * 2 - 1 - torch.tensor(SHIFT).reshape(3, 1, 1)) / torch.tensor(SCALE).reshape(3, 1, 1))
    features = torch.cat(images)
    trunk = TRUNKS[kind]
    for number, side, padding in zip(trunk.convolutions, KERNELS[kind], trunk.padding, strict=True):
        stride = 4 if (kind, number) == ("alex", 0) else 1
        layer = nn.Conv2d(before, CHANNELS, side, stride=stride, padding=padding).requires_grad_(False)
        layer.load_state_dict({name: values[f"features.{number}.{name}"] for name in ("weight", "bias")})
        features, before = nn.ReLU()(layer(features)), CHANNELS
        if number in trunk.compared:
            unit = nn.functional.normalize(features, dim=1)
            head = ends[f"lin{trunk.compared.index(number)}.model.1.weight"]
            scores = nn.functional.conv2d((unit[:1] - unit[1:]) ** 2, head)
            total += float(nn.functional.interpolate(scores, (96, 96), mode="bilinear", align_corners=False).mean())
        if number in trunk.pools:
            features = nn.MaxPool2d(3 if kind == "alex" else 2, 2)(features)
    assert metric(noisy(2, (96, 96)), noisy(3, (96, 96))).mean() == pytest.approx(total, rel=1e-4)


def test_equal_pictures_are_at_zero_and_shapes_are_kept(tmp_path: Path) -> None:
    metric = load_lpips(saved(weights("alex") | heads(), tmp_path / "both.pth"))
    assert (metric(noisy(0), noisy(0)) == 0).all()
    for shape in ((66, 70), (20, 80), (33, 32)):
        found = metric(noisy(0, shape), noisy(1, shape))
        assert found.shape == shape
        assert found.dtype == np.float32
        assert (found >= 0).all()
        assert found.mean() > 0


def test_names_of_the_package_and_safetensors_read_the_same(tmp_path: Path) -> None:
    one = load_lpips(saved(weights("alex") | heads(), tmp_path / "a.pth"))
    renamed = {key.replace("features", "net.slice3"): value for key, value in weights("alex").items()} | heads()
    save_file(renamed, tmp_path / "b.safetensors")
    two = load_lpips(tmp_path / "b.safetensors")
    assert np.array_equal(one(noisy(0), noisy(1)), two(noisy(0), noisy(1)))
    other = load_lpips(saved(weights("vgg", seed=9) | heads(), tmp_path / "c.pth"))
    assert len({one.fingerprint, two.fingerprint, other.fingerprint}) == 3


def test_heads_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = saved(weights("alex"), tmp_path / "trunk.pth")
    monkeypatch.setattr(lpips, "_PACKAGES", (("torchless_package", "{}.pth"),))
    with pytest.raises(MissingDependencyError, match="LPIPS without a file of heads"):
        load_lpips(trunk)
    package = tmp_path / "site" / "torchless_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('the package is not imported')")
    saved(heads(), package / "alex.pth")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert load_lpips(trunk).name == "lpips-alex"


def test_refusals(tmp_path: Path) -> None:
    trunk = saved(weights("alex"), tmp_path / "trunk.pth")
    with pytest.raises(StoreError, match="no readable weights"):
        load_lpips(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(StoreError, match="no readable weights"):
        load_lpips(tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("weights")
    with pytest.raises(StoreError, match="no readable weights"):
        load_lpips(tmp_path / "text.safetensors")
    with pytest.raises(InputError, match=r"no trunk of AlexNet or VGG-16"):
        load_lpips(saved(heads(), tmp_path / "heads.pth"))
    wide = {key: torch.ones(1, CHANNELS + 1, 1, 1) for key in heads()}
    with pytest.raises(InputError, match=r"have \[5, 5, 5, 5, 5\] channels"):
        load_lpips(trunk, saved(wide, tmp_path / "wide.pth"))
    with pytest.raises(InputError, match=r"have \[\] channels"):
        load_lpips(trunk, trunk)
