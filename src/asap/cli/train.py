"""``asap train``."""

import argparse
from pathlib import Path

from asap.cli.output import print_lines
from asap.cli.values import natural, non_negative, positive, positive_real, setting

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, grouped by purpose."""
    parser.add_argument("--model", default="mini", metavar="NAME", help="a known model or a pipeline folder (mini)")
    parser.add_argument("--pairs", type=Path, required=True, metavar="DIR", help="pair store to learn from")
    parser.add_argument("--method", default="asap", metavar="NAME", help="objective: sft, dpo, asap... (asap)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on with a stopped run"
    )
    objective = parser.add_argument_group("objective (defaults are the method's own)")
    objective.add_argument("--alpha", type=non_negative, help="extra weight inside the mask")
    objective.add_argument("--tau", type=positive_real, help="margin, in units of error")
    objective.add_argument("--beta", type=positive_real, help="slope of the logistic shape")
    objective.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="any other setting (draws=2)"
    )
    steps = parser.add_argument_group("steps")
    steps.add_argument("--steps", type=positive, default=150, metavar="N", help="optimizer steps (150)")
    steps.add_argument("--batch-size", type=positive, default=12, metavar="N", help="pairs a micro-batch (12)")
    steps.add_argument("--grad-accum", type=positive, default=1, metavar="N", help="micro-batches a step (1)")
    steps.add_argument("--lr", type=positive_real, metavar="RATE", help="learning rate (1e-4, with --full 8e-6)")
    steps.add_argument(
        "--snapshot",
        type=positive,
        action="append",
        default=[],
        metavar="STEP",
        help="keep the weights of this step too",
    )
    steps.add_argument("--seed", type=natural, default=0, metavar="N", help="decides order, noise and times (0)")
    trained = parser.add_argument_group("what is trained").add_mutually_exclusive_group()
    trained.add_argument("--lora-rank", type=positive, metavar="N", help="rank of the adapter (16)")
    trained.add_argument("--full", action="store_true", help="train all weights of the denoiser, not an adapter")
    parser.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> None:
    from asap.stages.train import train

    print_lines(
        train(
            arguments.model,
            arguments.pairs,
            arguments.out,
            method=arguments.method,
            steps=arguments.steps,
            batch_size=arguments.batch_size,
            grad_accum=arguments.grad_accum,
            lr=arguments.lr,
            alpha=arguments.alpha,
            tau=arguments.tau,
            beta=arguments.beta,
            seed=arguments.seed,
            lora_rank=arguments.lora_rank,
            full=arguments.full,
            resume=arguments.resume,
            snapshots=arguments.snapshot,
            options=dict(arguments.set),
        )
    )
