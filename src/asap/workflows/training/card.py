"""What a run says of itself: its resolved settings before the first step, and the model card beside its weights."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asap.core.files import write_text

__all__ = ["card", "settings_summary", "write_card"]


def write_card(folder: Path, config: Mapping[str, Any], facts: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Write ``folder/README.md``; raises ``InputError`` if the disk refuses. Arguments as ``card``."""
    write_text(folder / "README.md", card(folder.name, config, facts, result))


def card(weights: str, config: Mapping[str, Any], facts: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        weights: ``adapter`` or ``denoiser``.
        config: of the run's manifest.
        facts: ``model`` and ``pairs`` (name and content hash of the store), ``summary`` of the method, ``parts`` and
            ``operations`` (names of the pairs trained on, one a pair), ``held_out`` (numbers of the last validation).
        result: what the run came to.
    """
    hub = facts["model"] if "/" in facts["model"] and not Path(facts["model"]).is_dir() else None
    head = ["---", "library_name: diffusers", *([f"base_model: {hub}"] if hub else []), "tags: [text-to-image, asap"]
    head[-1] += ", lora]" if weights == "adapter" else "]"
    loss, steps = config["loss"], config["training"]
    rows = {
        "method": f"`{config['method']}`: {facts['summary']}",
        "objective": ", ".join(f"{name} {value}" for name, value in loss.items()),
        "reduction": config["reduction"],
        "weights": f"LoRA of rank {config['lora']['rank']}" if config.get("lora") else config["weights"],
        "steps": f"{result['steps']} of {steps['batch_size'] * steps['grad_accum'] * config['processes']} pairs",
        "training": ", ".join(f"{name} {value}" for name, value in steps.items() if name != "steps"),
    }
    return "\n".join(
        [
            *head,
            "---",
            "",
            f"# {Path(facts['model']).name}, aligned with {config['method']}",
            "",
            "Trained by [asap](https://arxiv.org/abs/2605.25759) on pairs of images that differ in one body part.",
            "",
            "## Data",
            "",
            f"{len(facts['parts'])} pairs of the store `{facts['pairs']}` (content `{config['pairs'][:16]}`), kinds "
            f"{', '.join(config['kinds'])}.",
            "",
            f"Parts: {_counts(facts['parts'])}. Operations: {_counts(facts['operations'])}.",
            "",
            "## Method and settings",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            "## Metrics",
            "",
            *_metrics(facts.get("held_out") or {}, result),
            "",
            "## Use",
            "",
            *(_use_adapter(facts["model"]) if weights == "adapter" else _use_denoiser(facts["model"])),
            "",
            "The licence of the base model applies to what is drawn and to these weights; see its page.",
            "",
        ]
    )


def _counts(names: list[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common()) or "none"


def _metrics(held: Mapping[str, float], result: Mapping[str, Any]) -> list[str]:
    lines = ["| over the last 20 steps | |", "|---|---|"]
    for name in ("loss", "delta", "accuracy", "winner_rise"):
        value = result[name]
        lines.append(f"| {name} | {'unknown' if value is None else f'{value:.4g}'} |")
    if held:
        lines += ["", "| held-out pairs, last validation | |", "|---|---|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in held.items()]
    return [*lines, *(["", f"The run ended early: {result['stopped']}."] if result["stopped"] else [])]


def _use_adapter(model: str) -> list[str]:
    return [
        "diffusers:",
        "",
        "```python",
        "from diffusers import DiffusionPipeline",
        f'pipeline = DiffusionPipeline.from_pretrained("{model}")',
        'pipeline.load_lora_weights("adapter")  # this folder',
        "```",
        "",
        "ComfyUI: `asap export RUN --format comfyui --out asap.safetensors`, then put the file into `models/loras` and",
        "load it with the node LoraLoaderModelOnly. kohya's scripts: `--format kohya`.",
    ]


def _use_denoiser(model: str) -> list[str]:
    return [
        f"`asap fuse --model {model} --lora RUN --out DIR` writes a whole pipeline, which",
        "`DiffusionPipeline.from_pretrained(DIR)` reads.",
    ]


def settings_summary(config: Mapping[str, object]) -> list[str]:
    """A line per key of a run's manifest config; groups as ``name=value``."""
    wide = max(len(key) for key in config)
    return [f"{key.ljust(wide)}  {_setting(value)}" for key, value in config.items() if value is not None]


def _setting(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_setting(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(_setting, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
