"""A backbone small enough for tests: a real diffusers UNet of some ten thousand weights, and pairs in memory."""

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from asap.align.adapters import AdapterSettings, adapt, make_full
from asap.align.batch import PairBatch
from asap.align.methods import Method, resolve_method
from asap.align.policy import Policy, adapter_reference, frozen_reference
from asap.align.precision import LossScale
from asap.align.settings import TrainSettings
from asap.align.strategies.cached_reference import ReferenceBank
from asap.align.trainer import Trainer
from asap.backbones.protocol import TextCondition
from asap.workflows.training.loop import Loop, LoopSettings, Schedule

SHAPE = (4, 8, 8)


class StraightPath:
    """x_t = (1 - t) x + t noise, target noise - x, t uniform."""

    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, generator=generator)

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        share = t.reshape(-1, 1, 1, 1)
        return (1 - share) * x + share * noise

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return noise - x


class TinyBackbone:
    """Denoises 4x8x8 latents under a caption of three tokens of eight values."""

    lora_targets = ("to_q", "to_k", "to_v", "to_out.0")

    def __init__(self, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.unet = UNet2DConditionModel(
                sample_size=8,
                in_channels=4,
                out_channels=4,
                block_out_channels=(8, 16),
                layers_per_block=1,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                cross_attention_dim=8,
                attention_head_dim=4,
                norm_num_groups=4,
            )

    @property
    def denoiser(self) -> nn.Module:
        module: nn.Module = self.unet
        return module

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        prediction: Tensor = self.unet(x_t, t * 1000, encoder_hidden_states=condition.tensors["text"]).sample
        return prediction


class MemoryPairs:
    """Random pairs that differ inside a square."""

    def __init__(self, count: int = 20, seed: int = 1) -> None:
        source = torch.Generator().manual_seed(seed)
        self.chosen = torch.randn(count, *SHAPE, generator=source)
        self.mask = torch.zeros(count, 1, *SHAPE[1:])
        self.mask[:, :, 2:5, 3:6] = 1
        self.rejected = self.chosen + self.mask * torch.randn(count, *SHAPE, generator=source)
        self.text = torch.randn(count, 3, 8, generator=source)

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, indices: Sequence[int]) -> PairBatch:
        rows = list(indices)
        return PairBatch(
            chosen=self.chosen[rows],
            rejected=self.rejected[rows],
            mask=self.mask[rows],
            condition=TextCondition({"text": self.text[rows]}),
        )


class Alignment(Loop):
    """The training loop around a trainer."""

    task: Trainer

    def __init__(self, trainer: Trainer) -> None:
        settings = trainer.settings
        how = LoopSettings(
            name="alignment",
            steps=settings.steps,
            schedule=Schedule(lr=settings.lr, warmup=settings.warmup),
            max_grad_norm=settings.max_grad_norm,
            ema=settings.ema,
        )
        super().__init__(trainer, how, scale=LossScale.of(trainer.precision))


def policies(lora: bool) -> Policy:
    backbone = TinyBackbone()
    return adapt(backbone, AdapterSettings(rank=2), seed=3) if lora else make_full(backbone)


def alignment(
    method: str | Method = "asap",
    *,
    lora: bool = False,
    pairs: MemoryPairs | None = None,
    bank: ReferenceBank | None = None,
    loss: dict[str, object] | None = None,
    policy: Policy | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    **settings: object,
) -> Alignment:
    """A run of six steps of four pairs, ready to take its first."""
    lora = lora or policy is not None
    policy = policies(lora) if policy is None else policy
    found, resolved = (method, method.settings) if isinstance(method, Method) else resolve_method(method, loss or {})
    values = {"steps": 6, "batch_size": 4, "lr": 1e-3, "seed": 7, "precision": "fp32", **settings}
    return Alignment(
        Trainer(
            policy,
            adapter_reference if lora else frozen_reference,
            StraightPath(),
            MemoryPairs() if pairs is None else pairs,
            method=found,
            loss=resolved,
            settings=TrainSettings(**values),  # type: ignore[arg-type]
            groups=groups,
            bank=bank,
            device="cpu",
        )
    )


def gradient(run: Alignment, step: int = 0) -> dict[str, Tensor]:
    """The gradient of a step; nothing is trained."""
    run.task.backward(step)
    found = {name: value.grad.clone() for name, value in run.task.weights.items() if value.grad is not None}
    run.task.optimizer.zero_grad(set_to_none=True)
    return found


def weights(run: Alignment) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in run.task.weights.items()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name
