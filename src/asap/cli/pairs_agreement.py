"""``asap pairs agreement``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from asap.cli.output import print_json, print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Measure the agreement of reviewers: Cohen's kappa with its interval, for every two reviewers."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the agreement."""
        from asap.workflows.datasets.reviewed import pair_agreement

        found = pair_agreement(self.pairs)
        if self.json:
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
