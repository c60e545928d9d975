"""``asap pairs agreement``."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asap.cli.output import print_json, print_lines

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_agreement)


def _agreement(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.reviewed import pair_agreement

    found = pair_agreement(arguments.pairs)
    if arguments.json:
        print_json(found)
    else:
        print_lines(dict(_lines(found)))


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "pairs", found["pairs"]
    yield from found["reviewers"].items()
    for block in found["between"]:
        both = " and ".join(block["reviewers"])
        yield f"{both}: decision", _kappa(block["decision"])
        for label, kappa in block["labels"].items():
            yield f"{both}: {label}", _kappa(kappa)
        yield f"{both}: error type", _kappa(block["error"])
        yield f"{both}: blind", f"{block['blind']} of {block['decision']['n']}"


def _kappa(kappa: Mapping[str, Any]) -> str:
    if kappa["value"] is None:
        return f"kappa unknown, n {kappa['n']}" + (" (one answer throughout)" if kappa["n"] else "")
    interval = f"[{kappa['low']:.3f}, {kappa['high']:.3f}]"
    return f"kappa {kappa['value']:.3f} {interval}, same answer {kappa['observed']:.3f}, n {kappa['n']}"
