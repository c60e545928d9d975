"""Writes ``FAMILY/METHOD.yaml`` for every family and method: ``python configs/generate.py``. A test compares them."""

from dataclasses import dataclass, fields
from pathlib import Path

from asap.align.methods import METHODS, LossSettings, Method
from asap.backbones.families import families

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where to start with a family. Nothing here was tuned or measured on a GPU by us: ask `--dry-run` first."""

    batch_size: int
    dtype: str
    why: str
    device: str = "cuda"


CHOICES = {
    "mini": Choice(batch_size=12, dtype="float32", device="cpu", why="two CPU cores take a step in about a second"),
    "sd15": Choice(batch_size=8, dtype="bfloat16", why="0.9 billion parameters"),
    "sdxl": Choice(batch_size=2, dtype="bfloat16", why="2.6 billion parameters in the UNet"),
    "sd3": Choice(batch_size=2, dtype="bfloat16", why="2 (medium) to 8 (large) billion parameters"),
    "flux": Choice(batch_size=1, dtype="bfloat16", why="12 billion parameters, 24 GB in bfloat16"),
    "flux2": Choice(batch_size=1, dtype="bfloat16", why="4 billion parameters (klein) and a text encoder of as many"),
    "qwen_image": Choice(batch_size=1, dtype="bfloat16", why="20 billion parameters, 40 GB in bfloat16"),
    "zimage": Choice(batch_size=1, dtype="bfloat16", why="6 billion parameters, 12 GB in bfloat16"),
    "sana": Choice(batch_size=4, dtype="bfloat16", why="1.6 billion parameters, cells of 32 pixels"),
}


def text(family: str, hubs: tuple[str, ...], method: Method) -> str:
    """One file."""
    choice, plain = CHOICES[family], LossSettings()
    values = {item.name: (getattr(method.settings, item.name), getattr(plain, item.name)) for item in fields(plain)}
    changed = "".join(f"{name}: {_yaml(own)}\n" for name, (own, usual) in values.items() if own != usual)
    others = f"# others: {', '.join(hubs[1:])}\n" if hubs[1:] else ""
    return f"""\
# {family}, {method.name}: {method.summary}.
# Use: asap train --config configs/{family}/{method.name}.yaml --pairs runs/pairs --out runs/{family}-{method.name}
# Every key is a flag or a setting of `asap train` (docs/train.md); flags win over this file.

# --- model: {choice.why}
# a place to start: neither tuned nor measured on a GPU by us, see --dry-run
{others}model: {hubs[0] if hubs else "mini"}
device: {choice.device}
dtype: {choice.dtype}  # of the frozen weights; what is trained stays float32
lora_rank: 16  # `full: true` instead trains every weight, at a lower lr

# --- data; give these on the command line or here
# pairs: runs/pairs
# out: runs/{family}-{method.name}
kinds: [defect]
# cache_limit: 50  # gigabytes that encoded pairs may take
{_sight(family)}
# --- objective
method: {method.name}
{_objective(method)}{changed}
# --- steps
steps: 150
global_batch: {12 if family == "mini" else 16}  # pairs a step over all processes; grad_accum follows
batch_size: {choice.batch_size}  # pairs that a process takes at a time; lower it when memory is short
lr: 1.0e-4
warmup: 10  # steps
seed: 0

# --- while it runs
checkpoint_every: 50
validate_every: 25  # steps between looks at held-out pairs and pictures
images: 4
stop_on_rise: 0.05  # end once the chosen side's error is 5 % above the reference's
# stop_on_drift: 0.05
# track: [tensorboard]  # or trackio, wandb
"""


def _sight(family: str) -> str:
    """What of a picture may be seen, for models whose pictures have several sizes, and what may lie in main memory."""
    if family == "mini":
        return ""
    return """\
# buckets: true  # pictures in several shapes, not cut to squares
# window: 0.5  # see only a window around the mask, of at least half the sides; an approximation, see docs/align.md
# offload: parts  # autoencoder and text encoders in main memory; or blocks, the frozen denoiser as well
"""


def _objective(method: Method) -> str:
    """The numbers that this shape of loss reads and that the method leaves at their defaults."""
    settings, lines = method.settings, []
    if settings.alpha == LossSettings().alpha:
        lines.append(f"alpha: {settings.alpha}  # extra weight inside the mask\n")
    if method.shape in ("squared", "hinge") and settings.target_margin == LossSettings().target_margin:
        lines.append(f"target_margin: {settings.target_margin}  # delta that is asked for, in units of error\n")
    if method.shape == "ipo" and settings.beta == LossSettings().beta:
        lines.append(f"beta: {settings.beta}  # the margin is 1 / (2 beta)\n")
    if method.shape == "logistic" and settings.beta == LossSettings().beta:
        lines.append(f"beta: {settings.beta}  # slope; 1 / beta is the unit of error\n")
    return "".join(lines)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def written() -> dict[Path, str]:
    """All files by path below this folder."""
    return {
        Path(family.name) / f"{name}.yaml": text(family.name, family.hubs, METHODS.get(name))
        for family in families()
        for name in METHODS.names()
    }


if __name__ == "__main__":
    for path, content in written().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(content, encoding="utf-8")
