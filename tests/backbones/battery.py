"""What every family must stand, proven on a tiny random pipeline. A family's own facts come from ``tiny/NAME.py``:

build(folder)   saves the pipeline (required)
COMMUNITY       set of LoRA targets that the community trains (required)
SIZE            (height, width) in pixels; default 6 x 4 cells, so that a swap of the sides is seen
CALL            arguments of the pipeline's call that turn guidance off, or to what ``denoise`` embeds; default
                ``{"guidance_scale": 1.0}``
latents_of      (pipeline, images) -> latents by the autoencoder; default scale and shift of AutoencoderKL
TOKEN           side in latent cells of a packed token; default 1 (not packed)
FLOAT32         True where another ``dtype`` is refused; default False
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from asap.align.adapters import AdapterSettings, adapt
from asap.align.batch import PairBatch
from asap.align.methods import resolve_method
from asap.align.policy import Policy, adapter_reference
from asap.align.settings import TrainSettings
from asap.align.trainer import Trainer
from asap.backbones import load
from asap.backbones.family import LoadOptions
from asap.backbones.paths import VariancePreservingPath
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition
from asap.backbones.text import blanked, trimmed
from asap.core.errors import InputError
from asap.tensors import to_latent_mask
from tests.align.fakes import Alignment

PROMPTS = ["a person with pale skin raises one hand", "five fingers"]
STEPS = 4
HINT = "{}: {} (if the pipeline guides at CALL, set CALL in tiny/NAME.py so that it does not)"


@dataclass
class Step:
    """One step of a pipeline's own loop."""

    time: Tensor
    """What the scheduler calls the step."""
    latents: Tensor
    """x_t as the loop holds it, in the scale that the network is given."""
    prediction: Tensor
    """What the loop hands to the scheduler."""
    inputs: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that the denoiser was called with, by argument name."""


def open_tiny(folder: Path) -> PipelineBackbone:
    """Through the front door, so that the family is found by class name; in float32 on every processor."""
    backbone = load(folder, LoadOptions(dtype="float32"))
    assert isinstance(backbone, PipelineBackbone)
    return backbone


def size_of(backbone: PipelineBackbone, module: ModuleType) -> tuple[int, int]:
    height, width = getattr(module, "SIZE", (6 * backbone.cell, 4 * backbone.cell))
    return height, width


def pictures(backbone: PipelineBackbone, module: ModuleType, count: int = 2, seed: int = 0) -> Tensor:
    noise = torch.rand(count, 3, *size_of(backbone, module), generator=torch.Generator().manual_seed(seed))
    return noise * 2 - 1


# --- denoise


def denoise_is_the_pipelines(backbone: PipelineBackbone, module: ModuleType) -> None:
    """At each step of the pipeline's own call, our ``denoise`` calls the network alike and says the same."""
    height, width = size_of(backbone, module)
    condition = backbone.embed(PROMPTS)
    steps = loop(backbone, module, height, width)
    assert len(steps) >= STEPS - 1
    for step in steps:
        x_t = backbone.unpack(step.latents, height, width)
        assert tuple(x_t.shape) == (2, *backbone.latent_size(height, width))
        t = time_of(backbone, step.time).expand(2)
        with torch.no_grad(), recording(backbone.denoiser) as calls:
            ours = backbone.denoise(x_t, t, condition)
        assert ours.dtype == torch.float32
        assert_alike(step.inputs, calls[0], batch=2)
        backward = getattr(backbone.path, "backward", False)  # such a pipeline turns the sign for its scheduler
        wanted = backbone.unpack(-step.prediction if backward else step.prediction, height, width)
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def time_of(backbone: PipelineBackbone, clock: Tensor) -> Tensor:
    """T (1,) in [0, 1] of what the scheduler calls a step: whole steps from 0, or 1000 * t of a flow."""
    whole = clock.reshape(1).float()
    if isinstance(backbone.path, VariancePreservingPath):
        return (whole + 1) / len(backbone.path.alphas)
    return whole / float(backbone.pipeline.scheduler.config.num_train_timesteps)


def loop(backbone: PipelineBackbone, module: ModuleType, height: int, width: int) -> list[Step]:
    """Steps of the pipeline's call with guidance off; the first of several calls at one time."""
    pipeline, found = backbone.pipeline, list[Step]()
    scheduler, original = pipeline.scheduler, pipeline.scheduler.step

    def step(prediction: Tensor, time: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        scale = getattr(scheduler, "scale_model_input", lambda sample, _: sample)
        found.append(Step(torch.as_tensor(time), scale(sample, time).clone(), prediction.clone()))
        return original(prediction, time, sample, *args, **kwargs)

    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    size = {} if hasattr(module, "SIZE") else {"height": height, "width": width}
    scheduler.step = step
    try:
        with torch.no_grad(), recording(backbone.denoiser) as calls:
            pipeline(
                prompt=PROMPTS,
                generator=generators,
                num_inference_steps=STEPS,
                output_type="latent",
                **size,
                **getattr(module, "CALL", {"guidance_scale": 1.0}),
            )
    finally:
        del scheduler.step
    assert len(calls) == len(found), "guidance is on: more than one call of the denoiser a step"
    for one, inputs in zip(found, calls, strict=True):
        one.inputs = inputs
    return found


@contextmanager
def recording(denoiser: nn.Module) -> Iterator[list[dict[str, Tensor]]]:
    """Inside, each call's tensors by argument name, nested ones as name.key."""
    calls: list[dict[str, Tensor]] = []
    signature = inspect.signature(denoiser.forward)

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(dict(flat(signature.bind(*args, **kwargs).arguments)))

    handle = denoiser.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in values.items():
        if isinstance(value, Tensor):
            yield prefix + name, value.detach().clone()
        elif isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield from flat({str(k): item for k, item in enumerate(value)}, f"{prefix}{name}.")


def assert_alike(theirs: dict[str, Tensor], ours: dict[str, Tensor], *, batch: int) -> None:
    """Same arguments, same values; a time or guidance given once for all rows equals one for each."""
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        wanted, got = value.double(), ours[name].double()
        if wanted.numel() == 1 and got.numel() == batch:
            wanted = wanted.reshape(1).expand(batch).reshape(got.shape)
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5, msg=partial(HINT.format, name))


# --- images, latents and masks


def latents_of(pipeline: Any, images: Tensor) -> Tensor:
    vae = pipeline.vae
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    latents: Tensor = (vae.encode(images).latent_dist.mode() - shift) * vae.config.scaling_factor
    return latents


def encoding_is_the_autoencoders(backbone: PipelineBackbone, module: ModuleType) -> None:
    """The posterior's mode in the denoiser's scale, twice the same, and back to what the decoder makes of it."""
    images = pictures(backbone, module)
    latents = backbone.encode(images)
    assert tuple(latents.shape) == (2, *backbone.latent_size(*images.shape[2:]))
    assert latents.dtype == torch.float32
    assert torch.equal(latents, backbone.encode(images))
    with torch.no_grad():
        wanted = getattr(module, "latents_of", latents_of)(backbone.pipeline, images)
    torch.testing.assert_close(latents, wanted, atol=1e-6, rtol=1e-6)
    again = backbone.decode(latents)
    assert again.shape == images.shape
    assert again.dtype == torch.float32
    assert again.abs().max() <= 1


def decoding_is_the_pipelines(backbone: PipelineBackbone, module: ModuleType) -> None:
    """Our image is the one that the pipeline itself decodes, to a grey level."""
    height, width = size_of(backbone, module)
    size = {} if hasattr(module, "SIZE") else {"height": height, "width": width}
    ours = backbone.sample([PROMPTS[0]] * backbone.chunk, list(range(backbone.chunk)), steps=2, **size)
    how = backbone._call_settings(2, None)
    generators = [torch.Generator().manual_seed(k) for k in range(backbone.chunk)]
    with torch.no_grad():
        theirs = backbone.pipeline(
            prompt=[PROMPTS[0]] * backbone.chunk, generator=generators, output_type="np", **size, **how
        ).images
    assert np.abs(np.round(theirs * 255) - ours).max() <= 1


def pixel_masks_land_where_the_network_looks(backbone: PipelineBackbone, module: ModuleType) -> None:
    """One masked pixel is one latent cell of 1; changing that cell changes one place, or token, of what goes in."""
    height, width = size_of(backbone, module)
    channels, rows, columns = backbone.latent_size(height, width)
    condition = backbone.embed(PROMPTS[:1])
    plain, t = torch.zeros(1, channels, rows, columns), torch.tensor([0.5])
    before = network_input(backbone, plain, t, condition)
    token = getattr(module, "TOKEN", 1)
    for y, x in ((0, 0), (height - 1, width - 1), (height // 2 - 1, width - 2), (height - 3, width // 2)):
        mask = torch.zeros(1, height, width, dtype=torch.uint8)
        mask[0, y, x] = 255
        cells = to_latent_mask(mask, (rows, columns))
        i, j = y * rows // height, x * columns // width
        assert cells.nonzero().tolist() == [[0, 0, i, j]]
        assert cells.max() == 1
        changed = network_input(backbone, plain + cells, t, condition) != before
        if changed.ndim == 3 and changed.shape[0] == 1:
            places = changed.any(dim=2).nonzero()[:, 1].tolist()
            assert places == [(i // token) * (columns // token) + j // token]
        else:
            places = changed.reshape(-1, *changed.shape[-2:]).any(dim=0).nonzero().tolist()
            assert places == [[i // token, j // token]]


def network_input(backbone: PipelineBackbone, x_t: Tensor, t: Tensor, condition: Any) -> Tensor:
    """The first tensor that the denoiser is given."""
    with torch.no_grad(), recording(backbone.denoiser) as calls:
        backbone.denoise(x_t, t, condition)
    return next(iter(calls[0].values()))


# --- adapters and training


def targets_are_the_communitys(backbone: PipelineBackbone, module: ModuleType) -> None:
    """Each target names at least one layer that LoRA can adapt, and the list is the community's."""
    assert set(backbone.lora_targets) == module.COMMUNITY
    for target in backbone.lora_targets:
        layers = [layer for name, layer in backbone.denoiser.named_modules() if f".{name}".endswith(f".{target}")]
        assert layers, target
        assert all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in layers)


def padding_says_nothing(backbone: PipelineBackbone) -> None:
    """A text with a ``mask`` may be stored at any length that holds its longest row, and with anything for padding."""
    condition = backbone.embed(PROMPTS)
    if "mask" not in condition.tensors:
        assert blanked(condition) is condition
        return
    text, mask = trimmed(condition)
    assert text.shape[1] < condition.tensors["text"].shape[1]
    assert not condition.tensors["mask"][:, text.shape[1] :].any()
    x_t = torch.randn(2, *backbone.latent_shape, generator=torch.Generator().manual_seed(6))
    t = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        whole = backbone.denoise(x_t, t, condition)
        short = backbone.denoise(x_t, t, TextCondition({"text": text, "mask": mask}))
        blank = backbone.denoise(x_t, t, blanked(condition))
    torch.testing.assert_close(short, whole, atol=1e-5, rtol=1e-5)
    assert torch.equal(blank, whole)


def bfloat16_says_the_same(backbone: PipelineBackbone, folder: Path, module: ModuleType) -> None:
    """Loaded in bfloat16, embedding and denoising give float32 that differs by its rounding alone."""
    if getattr(module, "FLOAT32", False):
        with pytest.raises(InputError, match="float32"):
            load(folder, LoadOptions(dtype="bfloat16"))
        return
    low = load(folder, LoadOptions(dtype="bfloat16"))
    x_t = torch.randn(2, *backbone.latent_shape, generator=torch.Generator().manual_seed(6))
    t = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        wanted, got = (each.denoise(x_t, t, each.embed(PROMPTS)) for each in (backbone, low))
    assert got.dtype == torch.float32
    assert 0 < (got - wanted).norm() < 0.05 * wanted.norm()


def checkpointing_keeps_the_gradient(trained: PipelineBackbone) -> None:
    """Of an adapter that is on, to the bit; the module's own checkpointing, in evaluation mode."""
    policy, condition = Policy(trained), trained.embed(PROMPTS)
    x_t = torch.randn(2, *trained.latent_shape, generator=torch.Generator().manual_seed(6))

    def gradient() -> Tensor:
        policy.zero_grad()
        policy(x_t, torch.tensor([0.3, 0.8]), condition).square().mean().backward()
        return torch.cat([value.grad.flatten() for value in policy.trainable().values() if value.grad is not None])

    plain = gradient()
    trained.denoiser.enable_gradient_checkpointing()  # type: ignore[operator]
    again = gradient()
    trained.denoiser.disable_gradient_checkpointing()  # type: ignore[operator]
    assert plain.abs().max() > 0
    assert torch.equal(plain, again)


class FewPairs:
    """Pairs of images that differ in one corner, encoded by the backbone itself."""

    def __init__(self, backbone: PipelineBackbone, module: ModuleType) -> None:
        chosen, other = pictures(backbone, module, 2, 1), pictures(backbone, module, 2, 2)
        mask = torch.zeros(2, *chosen.shape[2:])
        mask[:, : mask.shape[1] // 2, : mask.shape[2] // 2] = 1
        rejected = torch.where(mask[:, None] > 0, other, chosen)
        self.chosen, self.rejected = backbone.encode(chosen), backbone.encode(rejected)
        self.mask = to_latent_mask(mask, (self.chosen.shape[2], self.chosen.shape[3]))
        self.condition = backbone.embed(PROMPTS)

    def __len__(self) -> int:
        return 2

    def batch(self, indices: Sequence[int]) -> PairBatch:
        rows = list(indices)
        return PairBatch(
            chosen=self.chosen[rows],
            rejected=self.rejected[rows],
            mask=self.mask[rows],
            condition=self.condition.index(rows),
        )


def alignment(backbone: PipelineBackbone, policy: Policy, source: FewPairs) -> Alignment:
    method, loss = resolve_method("asap", {})
    settings = TrainSettings(steps=1, batch_size=2, lr=1e-4, seed=3, precision="fp32")
    return Alignment(
        Trainer(
            policy,
            adapter_reference,
            backbone.path,
            source,
            method=method,
            loss=loss,
            settings=settings,
            device="cpu",
        )
    )


def one_step_lowers_the_loss(backbone: PipelineBackbone, module: ModuleType) -> None:
    """The same pairs, noise and times before and after a step; the backbone keeps its trained adapter."""
    source = FewPairs(backbone, module)
    policy = adapt(backbone, AdapterSettings(rank=2), seed=1)
    first = alignment(backbone, policy, source).step()
    second = alignment(backbone, policy, source).step()
    assert first["delta"] == 0
    assert first["loss"] == 1
    assert second["loss"] is not None
    assert second["loss"] < 1


def saved_adapter_works_in_diffusers(trained: PipelineBackbone, folder: Path, module: ModuleType, tmp: Path) -> None:
    """``load_lora_weights`` of the pipeline takes every key, and the image changes into ours."""
    grow(trained)
    trained.save_lora(tmp / "lora")
    theirs = DiffusionPipeline.from_pretrained(str(folder))
    assert type(theirs) is type(trained.pipeline)
    fresh = open_tiny(folder)
    plain = fresh.sample(PROMPTS[:1], [5], steps=2)
    theirs.load_lora_weights(str(tmp / "lora"))
    loaded = adapter_values(getattr(theirs, trained.component))
    assert loaded.keys() == adapter_values(trained.denoiser).keys()
    fresh.load_lora(tmp / "lora")
    for name, value in adapter_values(trained.denoiser).items():
        assert torch.equal(loaded[name], value), name
    adapted, ours = (each.sample(PROMPTS[:1], [5], steps=2).astype(int) for each in (fresh, trained))
    assert np.abs(adapted - plain).max() > 10
    assert np.abs(adapted - ours).max() <= 1  # training lays memory out otherwise, so kernels may round otherwise


def grow(backbone: PipelineBackbone) -> None:
    """Make the adapter large enough to be seen."""
    source = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, value in backbone.denoiser.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn(value.shape, generator=source))


def adapter_values(denoiser: nn.Module) -> dict[str, Tensor]:
    """The adapter's weights, whatever it is called."""
    found = {}
    for name, value in denoiser.named_parameters():
        if "lora_" in name:
            head, kind, _, tail = name.rsplit(".", 3)
            found[f"{head}.{kind}.{tail}"] = value.detach()
    return found


# --- whole pipelines


def saved_pipeline_is_the_same(backbone: PipelineBackbone, module: ModuleType, tmp: Path) -> None:
    """What ``save_pipeline`` wrote is found, loaded, and draws the same image."""
    backbone.save_pipeline(tmp / "again")
    again = open_tiny(tmp / "again")
    assert type(again) is type(backbone)
    assert again.lora_targets == backbone.lora_targets
    assert again.latent_shape == backbone.latent_shape
    assert np.array_equal(again.sample(PROMPTS[:1], [4], steps=2), backbone.sample(PROMPTS[:1], [4], steps=2))


def pictures_depend_on_their_seed_alone(backbone: PipelineBackbone, module: ModuleType) -> None:
    size = {} if hasattr(module, "SIZE") else dict(zip(("height", "width"), size_of(backbone, module), strict=True))
    both = backbone.sample(PROMPTS, [7, 8], steps=2, **size)
    alone = backbone.sample(PROMPTS[1:], [8], steps=2, **size)
    other = backbone.sample(PROMPTS[1:], [9], steps=2, **size)
    assert both.shape == (2, *size_of(backbone, module), 3)
    assert both.dtype == np.uint8
    assert np.array_equal(both[1], alone[0])
    assert not np.array_equal(alone, other)
