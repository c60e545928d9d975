"""``asap judge train | calibrate | run | rate | raters | compare``: there is no default judge."""

import argparse
from pathlib import Path

from asap.cli.output import print_json, print_lines, tell
from asap.cli.values import add_device, natural, non_negative, positive, positive_real, setting
from asap.core.errors import InputError

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(metavar="train|calibrate|run|rate|raters|compare", required=True)
    train = verbs.add_parser("train", help="train the learned judge on rendered truth")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the judge")
    train.add_argument("--pairs", type=Path, required=True, metavar="DIR", help="pair store of the namespace judge")
    train.add_argument("--model", default="mini", metavar="NAME", help="generator of the round trip (mini)")
    train.add_argument("--limit", type=positive, metavar="N", help="at most so many training pairs")
    train.add_argument("--seed", type=natural, default=0, metavar="N", help="decides people and weights (0)")
    train.add_argument("--init", metavar="NAME", help="go on from a judge: learned, or a folder (random weights)")
    _add_loop(train)
    add_device(train)
    train.set_defaults(run=_train)
    calibrate = verbs.add_parser("calibrate", help="measure a judge on images whose truth is known")
    _named(calibrate)
    calibrate.add_argument("--truth", type=Path, nargs="+", metavar="DIR", help="pair stores to measure any judge on")
    calibrate.add_argument("--split", default="test", metavar="NAME", help="of --truth: train, val, test, all (test)")
    calibrate.add_argument("--pairwise", action="store_true", help="also compare the sides of pairs in both orders")
    calibrate.add_argument(
        "--pairs", type=Path, metavar="DIR", help="measure a learned judge after the generator's round trip"
    )
    calibrate.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of a new measurement (the judge's own; learned needs one)"
    )
    calibrate.add_argument("--model", default="mini", metavar="NAME", help="generator of the round trip (mini)")
    calibrate.add_argument("--limit", type=positive, metavar="N", help="at most so many pairs")
    calibrate.add_argument("--json", action="store_true", help="print JSON")
    add_device(calibrate)
    calibrate.set_defaults(run=_calibrate)
    judge = verbs.add_parser("run", help="judge every image of a store of generations")
    _named(judge)
    judge.add_argument("--generations", type=Path, required=True, metavar="DIR", help="what `asap generate` made")
    judge.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the verdicts")
    judge.add_argument("--calibration", type=Path, metavar="FILE", help="what `asap judge calibrate` made of it")
    judge.add_argument("--work", type=Path, metavar="DIR", help="raw replies, to be used again (OUT.judge)")
    judge.add_argument("--estimate", action="store_true", help="only say how many calls it will take, and the price")
    add_device(judge)
    judge.set_defaults(run=_run)
    rate = verbs.add_parser("rate", help="a blind page on this machine for one of several raters")
    rate.add_argument("--generations", type=Path, nargs="+", required=True, metavar="DIR", help="images, to be mixed")
    rate.add_argument("--ratings", type=Path, required=True, metavar="DIR", help="folder of all raters' answers")
    rate.add_argument("--rater", required=True, metavar="NAME", help="whose answers these are")
    rate.add_argument("--port", type=natural, default=0, metavar="N", help="any that is free (0)")
    rate.add_argument("--no-browser", action="store_true", help="only print the page's address")
    rate.set_defaults(run=_rate)
    raters = verbs.add_parser("raters", help="how far the raters agree")
    raters.add_argument("--ratings", type=Path, required=True, metavar="DIR", help="folder of all raters' answers")
    raters.set_defaults(run=_raters)
    pair = verbs.add_parser("compare", help="two models' images side by side, in both orders, by vlm")
    pair.add_argument("--model", type=Path, required=True, metavar="DIR", help="generations of the model")
    pair.add_argument("--base", type=Path, required=True, metavar="DIR", help="generations of the base")
    pair.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the votes")
    _settings(pair)
    pair.set_defaults(run=_compare)


def _add_loop(parser: argparse.ArgumentParser) -> None:
    loop = parser.add_argument_group("how long, and how much at a time")
    loop.add_argument("--rounded", type=positive, metavar="N", help="training pairs that take the round trip (5000)")
    loop.add_argument("--window-epochs", type=non_negative, metavar="N", help="passes over windows (14)")
    loop.add_argument("--epochs", type=positive_real, metavar="N", help="passes over whole images (9)")
    loop.add_argument("--batch", type=positive, metavar="N", help="pairs a step (32)")
    loop.add_argument("--lr", type=positive_real, metavar="RATE", help="highest learning rate (2e-3)")


def _named(parser: argparse.ArgumentParser) -> None:
    """Which judge, and its settings."""
    parser.add_argument(
        "--judge",
        required=True,
        metavar="NAME",
        help="learned, landmarks, vlm, human, ensemble, or a learned judge's folder",
    )
    _settings(parser)


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the judge, for instance url=http://localhost:8000/v1; see docs/guides/judges.md",
    )


def _train(arguments: argparse.Namespace) -> None:
    from asap.benchmark.judge import JudgeTraining
    from asap.workflows.evaluation.learned import train

    names = {"window_epochs": "window_epochs", "epochs": "epochs", "batch": "batch", "lr": "learning_rate"}
    asked = {field: getattr(arguments, flag) for flag, field in names.items() if getattr(arguments, flag) is not None}
    rounded = {} if arguments.rounded is None else {"rounded": arguments.rounded}
    print_lines(
        train(
            arguments.out,
            pairs=arguments.pairs,
            model=arguments.model,
            seed=arguments.seed,
            limit=arguments.limit,
            settings=JudgeTraining(**asked),
            init=arguments.init,
            device=arguments.device,
            report=tell,
            **rounded,
        )
    )


def _calibrate(arguments: argparse.Namespace) -> None:
    if arguments.truth:
        from asap.workflows.evaluation.calibrate import calibrate_on

        if arguments.pairs or not arguments.out:
            raise InputError("--truth needs --out DIR for the result, and no --pairs")
        found = calibrate_on(
            arguments.judge,
            arguments.truth,
            arguments.out,
            options=dict(arguments.set),
            split=arguments.split,
            limit=arguments.limit,
            pairwise=arguments.pairwise,
            device=arguments.device,
            report=tell,
        )
    else:
        from asap.workflows.evaluation.learned import calibrate
        from asap.workflows.evaluation.registry import JUDGES

        if arguments.judge in JUDGES and arguments.judge != "learned":
            raise InputError(f"the judge {arguments.judge} is measured on pairs of known truth; give --truth and --out")

        found = calibrate(
            arguments.judge,
            pairs=arguments.pairs,
            out=arguments.out,
            model=arguments.model,
            limit=arguments.limit,
            device=arguments.device,
            report=tell,
        )
    (print_json if arguments.json else print_lines)(found)


def _run(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.run_judge import estimate, run, work_of

    options, out = dict(arguments.set), arguments.out
    work = arguments.work or work_of(out)
    if arguments.estimate or arguments.judge == "vlm":
        told = estimate(arguments.generations, judge=arguments.judge, options=options, work=work)
        if arguments.estimate:
            print_lines(told)
            return
        tell(", ".join(f"{name} {value}" for name, value in told.items() if value is not None))
    print(
        run(
            arguments.generations,
            out,
            judge=arguments.judge,
            options=options,
            calibration=arguments.calibration,
            work=work,
            device=arguments.device,
            report=tell,
        )
    )


def _compare(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.run_judge import compare

    print_lines(compare(arguments.model, arguments.base, arguments.out, options=dict(arguments.set), report=tell))


def _rate(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.rate import rate

    rate(
        arguments.generations,
        arguments.ratings,
        rater=arguments.rater,
        port=arguments.port,
        browser=not arguments.no_browser,
        announce=lambda address: print(address, flush=True),
    )


def _raters(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.rate import agreement_of_raters

    print_lines({"krippendorff_alpha": agreement_of_raters(arguments.ratings).to_json()})
