"""``asap mini pretrain``."""

import argparse
from pathlib import Path

from asap.cli.values import natural, positive

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb."""
    verbs = parser.add_subparsers(metavar="pretrain", required=True)
    pretrain = verbs.add_parser("pretrain", help="the recipe of the packaged weights: from scratch on rendered people")
    pretrain.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    pretrain.add_argument("--steps", type=positive, metavar="N", help="optimizer steps (the recipe's)")
    pretrain.add_argument("--seed", type=natural, default=0, metavar="N", help="decides people, noise and weights (0)")
    pretrain.set_defaults(run=_pretrain)


def _pretrain(arguments: argparse.Namespace) -> None:
    from asap.stages.pretrain import pretrain

    print(pretrain(arguments.out, steps=arguments.steps, seed=arguments.seed))
