"""``asap judge train | calibrate | run``. There is no default judge: whoever measures says with what."""

import argparse
from pathlib import Path

from asap.cli.output import print_json, print_lines, tell
from asap.cli.values import natural, positive

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the three sub-verbs."""
    verbs = parser.add_subparsers(metavar="train|calibrate|run", required=True)
    train = verbs.add_parser("train", help="train the learned judge on rendered truth")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the judge")
    train.add_argument("--pairs", type=Path, required=True, metavar="DIR", help="pair store of the namespace judge")
    train.add_argument("--model", default="mini", metavar="NAME", help="generator of the round trip (mini)")
    train.add_argument("--limit", type=positive, metavar="N", help="at most so many training pairs")
    train.add_argument("--seed", type=natural, default=0, metavar="N", help="decides people and weights (0)")
    train.set_defaults(run=_train)
    calibrate = verbs.add_parser("calibrate", help="measure a judge on pictures whose truth is known")
    calibrate.add_argument("--judge", required=True, metavar="NAME", help="learned, or a judge's folder")
    calibrate.add_argument("--pairs", type=Path, metavar="DIR", help="measure anew on this pair store's test people")
    calibrate.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of a new measurement (the judge's own; learned needs one)"
    )
    calibrate.add_argument("--model", default="mini", metavar="NAME", help="generator of the round trip (mini)")
    calibrate.add_argument("--limit", type=positive, metavar="N", help="at most so many pairs")
    calibrate.add_argument("--json", action="store_true", help="print JSON")
    calibrate.set_defaults(run=_calibrate)
    judge = verbs.add_parser("run", help="judge every picture of a store of generations")
    judge.add_argument("--judge", required=True, metavar="NAME", help="learned, or a judge's folder")
    judge.add_argument("--generations", type=Path, required=True, metavar="DIR", help="what `asap generate` made")
    judge.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the verdicts")
    judge.set_defaults(run=_run)


def _train(arguments: argparse.Namespace) -> None:
    from asap.stages.judge import train

    print_lines(
        train(
            arguments.out,
            pairs=arguments.pairs,
            model=arguments.model,
            seed=arguments.seed,
            limit=arguments.limit,
            report=tell,
        )
    )


def _calibrate(arguments: argparse.Namespace) -> None:
    from asap.stages.judge import calibrate

    found = calibrate(
        arguments.judge,
        pairs=arguments.pairs,
        out=arguments.out,
        model=arguments.model,
        limit=arguments.limit,
        report=tell,
    )
    (print_json if arguments.json else print_lines)(found)


def _run(arguments: argparse.Namespace) -> None:
    from asap.stages.judge import run

    print(run(arguments.generations, arguments.out, judge=arguments.judge, report=tell))
