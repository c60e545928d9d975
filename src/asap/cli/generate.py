"""``asap generate``."""

import argparse
from pathlib import Path
from typing import Any

from asap.cli.output import tell
from asap.cli.values import add_device, non_negative, positive, setting

__all__ = ["add_drawing", "configure", "drawing"]


def add_drawing(parser: argparse.ArgumentParser, seeds: int) -> None:
    """Arguments of everything that draws; ``drawing`` reads them."""
    parser.add_argument("--model", default="mini", metavar="NAME", help="a known model, a folder, or a hub id (mini)")
    parser.add_argument(
        "--adapter", "--lora", type=Path, metavar="DIR", help="what `asap train` made; without it, the base model"
    )
    parser.add_argument(
        "--foreign", action="store_true", help="the LoRA was trained elsewhere: results say that nobody knows on what"
    )
    parser.add_argument(
        "--suite", default="haf-mini", metavar="NAME", help="haf, haf-lite, haf-mini or the path of a suite (haf-mini)"
    )
    parser.add_argument(
        "--seeds", type=positive, default=seeds, metavar="N", help=f"images a prompt, seeds 0 to N-1 ({seeds})"
    )
    parser.add_argument("--steps", type=positive, metavar="N", help="sampler steps (the model's own)")
    parser.add_argument("--guidance", type=non_negative, metavar="SCALE", help="guidance scale (the model's own)")
    parser.add_argument("--batch", type=positive, default=16, metavar="N", help="images at a time (16)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only this many prompts of each category")
    for side in ("height", "width"):
        parser.add_argument(f"--{side}", type=positive, metavar="N", help=f"{side} in pixels (the model's own)")
    loading = parser.add_argument_group("how the model is loaded")
    add_device(loading)
    loading.add_argument(
        "--dtype",
        default="auto",
        metavar="NAME",
        help="float32, bfloat16, float16 (float32 on the CPU, else bfloat16)",
    )
    loading.add_argument("--revision", metavar="NAME", help="branch, tag or commit of a hub model")
    loading.add_argument("--variant", metavar="NAME", help="which weight files, for instance fp16")
    loading.add_argument(
        "--schedule",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the scheduler that its file gets wrong (prediction_type=v_prediction)",
    )


def drawing(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``add_drawing`` asked for, but model and LoRA, as the workflows take it."""
    from asap.backbones.family import LoadOptions

    names = ("suite", "seeds", "steps", "guidance", "batch", "limit", "foreign")
    loading = LoadOptions(
        device=arguments.device,
        dtype=arguments.dtype,
        revision=arguments.revision,
        variant=arguments.variant,
        schedule=dict(arguments.schedule),
    )
    size = (arguments.height, arguments.width)
    return {name: getattr(arguments, name) for name in names} | {"loading": loading, "size": size, "report": tell}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_drawing(parser, 2)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the generations")
    parser.set_defaults(run=_generate)


def _generate(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.generate import generate

    print(generate(arguments.out, model=arguments.model, adapter=arguments.adapter, **drawing(arguments)))
