"""``asap pairs audit``: does anything but the anatomy tell the rejected side from the chosen one?"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asap.cli.output import print_json, print_lines
from asap.cli.values import natural
from asap.core.errors import InputError

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--split", choices=("train", "val", "test"), help="look at this split only")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="folds and random exchanges (0)")
    parser.add_argument("--strict", action="store_true", help="end with exit code 2 unless every view is clean")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.audit import audit_pairs

    found = audit_pairs(arguments.pairs, split=arguments.split, seed=arguments.seed)
    if arguments.json:
        print_json(found)
    else:
        print_lines(_lines(found))
    if arguments.strict and found["verdict"] != "clean":
        views = ", ".join(f"{name} {view['verdict']}" for name, view in found["views"].items())
        raise InputError(f"{arguments.pairs} is not clean ({views}); see docs/concepts/gates.md")


def _lines(found: Mapping[str, Any]) -> dict[str, str]:
    outside = found["outside"]
    return {
        "pairs": f"{found['n']} of {found['people']} people or photographs",
        "outside the mask": f"{outside['differ']} pairs differ, by {outside['largest']} of 255 at most",
        **{name: _view(view) for name, view in found["views"].items()},
        "verdict": str(found["verdict"]),
    }


def _view(view: Mapping[str, Any]) -> str:
    if not view["differ"]:
        return f"{view['verdict']}: no pair differs"
    low, high = view["ci"]
    text = f"{view['verdict']}: AUROC {view['auroc']:.3f} [{low:.3f}, {high:.3f}] of {view['differ']} pairs that differ"
    if view["verdict"] == "too few":
        return text
    if view["verdict"] == "clean":
        return f"{text}, noticed from {view['noticed_from']:.3f}"
    told = (f"{one['feature']} {one['rejected']} in {one['share']:.0%}" for one in view["top"])
    return f"{text}; in the rejected side {'; '.join(told)}"
