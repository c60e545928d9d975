"""``asap mini pretrain``."""

import argparse
import os
from pathlib import Path

from asap.cli.values import add_device, natural, non_negative, positive, positive_real
from asap.core.vocabulary import SCENES

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verb."""
    verbs = parser.add_subparsers(metavar="pretrain", required=True)
    pretrain = verbs.add_parser("pretrain", help="the recipe of the packaged weights: from scratch on rendered people")
    pretrain.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    pretrain.add_argument("--data", type=Path, metavar="DIR", help="shards of rendered people (OUT/people, made now)")
    pretrain.add_argument("--people", type=positive, default=24000, metavar="N", help="people to render (24000)")
    pretrain.add_argument(
        "--scene", choices=SCENES, default="studio", help="around them: varied, or a plain backdrop (studio)"
    )
    pretrain.add_argument("--steps", type=positive, required=True, metavar="N", help="steps of the denoiser")
    pretrain.add_argument("--init", default="", metavar="NAME", help="go on from these weights: mini, or a folder")
    pretrain.add_argument("--seed", type=natural, default=0, metavar="N", help="decides people, noise and weights (0)")
    pretrain.add_argument("--workers", type=positive, metavar="N", help="processes that render (one a core)")
    pretrain.add_argument("--batch", type=positive, default=32, metavar="N", help="images a step (32)")
    pretrain.add_argument("--lr", type=positive_real, default=6e-4, metavar="RATE", help="highest learning rate (6e-4)")
    pretrain.add_argument(
        "--focus",
        type=non_negative,
        default=1.0,
        metavar="W",
        help="extra weight of bodies in the loss, twice as much on hands and faces; 0 weighs all alike (1)",
    )
    pretrain.add_argument(
        "--save-every", type=positive_real, default=180.0, metavar="SECONDS", help="between checkpoints (180)"
    )
    add_device(pretrain)
    pretrain.set_defaults(run=_pretrain)


def _pretrain(arguments: argparse.Namespace) -> None:
    from asap.workflows.results.pretrain import PretrainConfig, pretrain, pretrain_on_new_people

    names = ("steps", "seed", "init", "batch", "lr", "focus")
    config = PretrainConfig(**{name: getattr(arguments, name) for name in names})
    how = {"device": arguments.device, "save_seconds": arguments.save_every}
    if arguments.data is not None:
        print(pretrain(arguments.data, arguments.out, config, **how))
    else:
        workers = arguments.workers or os.cpu_count() or 1
        new = {"people": arguments.people, "scene": arguments.scene, "workers": workers}
        print(pretrain_on_new_people(arguments.out, config, **new, **how))
