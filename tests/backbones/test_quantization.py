"""Quantized denoisers: small, still the reference, and trained beside."""

from pathlib import Path

import pytest
import torch

from asap.align.adapters import AdapterSettings, adapt, make_full
from asap.backbones import load
from asap.backbones.family import LoadOptions
from asap.core.errors import ConfigError, InputError, MissingDependencyError
from tests.backbones import battery
from tests.backbones.tiny import sd15


def test_an_unknown_name_and_an_absent_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="quantization must be one of nf4, int8, ao_int8, ao_fp8, got 'int3'"):
        LoadOptions(quantization="int3").settled()  # type: ignore[arg-type]
    monkeypatch.setattr("asap.backbones.quantization.find_spec", lambda _: None)
    for name, package in (("nf4", "bitsandbytes"), ("ao_int8", "torchao")):
        with pytest.raises(MissingDependencyError, match=f"pip install {package}"):
            LoadOptions(quantization=name).settled()  # type: ignore[arg-type]


def test_eight_bits_on_the_cpu(tmp_path: Path) -> None:
    """Weights of linear maps shrink, delta starts at exactly 0, an adapter learns, full training is refused."""
    pytest.importorskip("torchao", reason="torchao is not installed")
    sd15.build(tmp_path / "model")
    options = LoadOptions(device="cpu", dtype="float32", quantization="ao_int8")
    backbone, plain = load(tmp_path / "model", options), load(tmp_path / "model")
    source = battery.FewPairs(plain, sd15)  # type: ignore[arg-type]
    with torch.no_grad():
        inputs = source.chosen, torch.tensor([0.3, 0.7]), source.condition
        near, exact = backbone.denoise(*inputs), plain.denoise(*inputs)
    assert 0 < float((near - exact).abs().max()) < 0.05 * float(exact.abs().max())
    with pytest.raises(InputError, match="not quantized"):
        make_full(backbone)
    policy = adapt(backbone, AdapterSettings(rank=2), seed=1)
    rows = [battery.alignment(backbone, policy, source).step() for _ in range(2)]  # type: ignore[arg-type]
    assert rows[0]["delta"] == 0
    assert rows[1]["loss"] is not None
    assert rows[1]["loss"] < 1
