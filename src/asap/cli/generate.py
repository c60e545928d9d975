"""``asap generate``."""

import argparse
from pathlib import Path

from asap.cli.output import tell
from asap.cli.values import non_negative, positive

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--model", default="mini", metavar="NAME", help="a known model or a pipeline folder (mini)")
    parser.add_argument(
        "--adapter", type=Path, metavar="DIR", help="what `asap train` made; without it, the base model"
    )
    parser.add_argument("--suite", default="mini", metavar="NAME", help="mini, or the path of a suite (mini)")
    parser.add_argument("--seeds", type=positive, default=2, metavar="N", help="pictures a prompt, seeds 0 to N-1 (2)")
    parser.add_argument("--steps", type=positive, metavar="N", help="sampler steps (the model's own)")
    parser.add_argument("--guidance", type=non_negative, metavar="SCALE", help="guidance scale (the model's own)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only this many prompts of each category")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the generations")
    parser.set_defaults(run=_generate)


def _generate(arguments: argparse.Namespace) -> None:
    from asap.stages.generate import generate

    print(
        generate(
            arguments.out,
            model=arguments.model,
            adapter=arguments.adapter,
            suite=arguments.suite,
            seeds=arguments.seeds,
            steps=arguments.steps,
            guidance=arguments.guidance,
            limit=arguments.limit,
            report=tell,
        )
    )
