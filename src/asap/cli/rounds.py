"""``asap rounds``."""

import argparse
import os
from pathlib import Path

from asap.cli.output import print_lines, tell
from asap.cli.values import add_device, fraction, natural, positive, positive_real
from asap.core.vocabulary import SCENES

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the rounds")
    parser.add_argument("--rounds", type=positive, default=2, metavar="N", help="how many; more later goes on (2)")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes that draw pairs (one a core)")
    add_device(parser)
    group = parser.add_argument_group("each round")
    group.add_argument("--model", metavar="NAME", help="known name, pipeline folder or hub id (mini)")
    group.add_argument("--screen", metavar="NAME", help="orders its tries: a learned judge's folder (ranker)")
    group.add_argument("--scene", choices=SCENES, help="around the people (varied; mini has learned studio)")
    group.add_argument("--count", type=positive, metavar="N", help="pairs (400)")
    group.add_argument("--draws", type=positive, metavar="N", help="tries at each place (4)")
    group.add_argument("--whole", type=fraction, metavar="SHARE", help="share that shows a whole person anew (0.5)")
    group.add_argument("--method", metavar="NAME", help="of alignment (localized_dpo)")
    group.add_argument("--steps", type=positive, metavar="N", help="of alignment (64)")
    group.add_argument("--batch", dest="batch_size", type=positive, metavar="N", help="pairs a step (8)")
    group.add_argument("--lr", type=positive_real, metavar="RATE", help="learning rate (3e-5)")
    group.add_argument("--seed", type=natural, metavar="N", help="of pairs and training (0)")
    group.add_argument("--lora", dest="full", action="store_const", const=False, help="train a LoRA (all weights)")
    parser.set_defaults(run=_rounds)


def _rounds(arguments: argparse.Namespace) -> None:
    from dataclasses import fields

    from asap.workflows.training.iterative import RoundSettings, align_in_rounds

    given = {field.name: getattr(arguments, field.name) for field in fields(RoundSettings)}
    model = align_in_rounds(
        arguments.out,
        rounds=arguments.rounds,
        settings=RoundSettings(**{name: value for name, value in given.items() if value is not None}),
        workers=arguments.workers or os.cpu_count() or 1,
        device=arguments.device,
        report=tell,
    )
    print_lines({"model": str(model), "rounds": arguments.rounds})
