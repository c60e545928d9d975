"""``asap train``."""

import argparse
import os
from pathlib import Path

from asap.cli.output import print_lines
from asap.cli.values import natural, non_negative, positive, positive_real, setting

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, grouped by purpose; a flag that is not given leaves the file's or the default value."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML of settings; flags win over it")
    parser.add_argument("--model", metavar="NAME", help="a known model, a pipeline folder or a hub id (mini)")
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="pair store to learn from")
    parser.add_argument("--method", metavar="NAME", help="objective: sft, dpo, asap... (asap)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, help="go on with a stopped run (yes)")
    parser.add_argument("--dry-run", action="store_true", help="print parameters, memory, steps, cost; train nothing")
    objective = parser.add_argument_group("objective (defaults are the method's own)")
    objective.add_argument("--alpha", type=non_negative, help="extra weight inside the mask")
    objective.add_argument(
        "--target-margin", type=positive_real, help="delta that is asked for, in units of error (tau)"
    )
    objective.add_argument("--beta", type=positive_real, help="slope of the logistic shape")
    objective.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting (noise_samples=2)",
    )
    _add_steps(parser)
    _add_watch(parser)
    trained = parser.add_argument_group("what is trained, and where")
    trained.add_argument("--lora-rank", type=positive, metavar="N", help="rank of the adapter (16)")
    trained.add_argument("--full", action="store_true", default=None, help="train all weights, not an adapter")
    trained.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (a GPU if there is one)")
    trained.add_argument("--dtype", metavar="NAME", help="float32, bfloat16, float16 (by the device)")
    parser.set_defaults(run=_train)


def _add_steps(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_argument_group("steps")
    steps.add_argument("--steps", type=positive, metavar="N", help="optimizer steps (150)")
    steps.add_argument("--batch-size", type=positive, metavar="N", help="pairs a micro-batch and process (12)")
    steps.add_argument("--grad-accum", type=positive, metavar="N", help="micro-batches a step (1)")
    steps.add_argument("--global-batch", type=positive, metavar="N", help="pairs a step; sets --grad-accum")
    steps.add_argument("--lr", type=positive_real, metavar="RATE", help="learning rate (1e-4, with --full 8e-6)")
    steps.add_argument("--seed", type=natural, metavar="N", help="decides order, noise and times (0)")
    steps.add_argument("--snapshot", type=positive, action="append", metavar="STEP", help="keep its weights too")


def _add_watch(parser: argparse.ArgumentParser) -> None:
    watch = parser.add_argument_group("while it runs")
    watch.add_argument("--checkpoint-every", type=positive, metavar="N", help="steps between checkpoints (50)")
    watch.add_argument("--validate-every", type=natural, metavar="N", help="steps between validations (0: none)")
    watch.add_argument("--prompt", action="append", metavar="TEXT", help="draw this at each validation")
    watch.add_argument("--track", action="append", metavar="NAME", help="tensorboard, trackio or wandb")


def _train(arguments: argparse.Namespace) -> None:
    from asap.workflows.training.config import read_config, request
    from asap.workflows.training.dry_run import dry_run
    from asap.workflows.training.run import run

    flags = vars(arguments)
    given = {key: value for key, value in flags.items() if key not in {"config", "run", "set", "dry_run", "verb"}}
    renamed = {"snapshots": given.pop("snapshot"), "prompts": given.pop("prompt")}
    known = {key: value for key, value in {**given, **renamed}.items() if value is not None}
    file = read_config(arguments.config) if arguments.config else {}
    if "full" in known:  # a flag that takes the place of what the file says
        file.pop("lora_rank", None)
    if "lora_rank" in known:
        file.pop("full", None)
    if {"grad_accum", "global_batch"} & known.keys():
        file = {key: value for key, value in file.items() if key not in ("grad_accum", "global_batch")}
    asked = request({**file, **dict(arguments.set), **known})
    told = dry_run(asked) if arguments.dry_run else run(asked)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print_lines(told)
