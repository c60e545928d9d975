"""``asap pairs audit``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from asap.cli.output import print_json, print_lines
from asap.core.errors import InputError
from asap.core.settings import Natural


@dataclass(frozen=True, kw_only=True)
class Command:
    """Test whether a classifier can tell rejected from chosen images without seeing the anatomy.

    The classifier sees the edge of the mask, the colours and the noise. A store is clean if the classifier is no
    better than chance.
    """

    pairs: Positional[Path]
    """Folder of the pair store."""
    split: Literal["train", "val", "test"] | None = None
    """Audit this split only."""
    seed: Natural = 0
    """Random seed of folds and permutations."""
    strict: bool = False
    """Exit with code 2 unless every view is clean."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the verdict of every view."""
        from asap.workflows.datasets.audit import audit_pairs

        found = audit_pairs(self.pairs, split=self.split, seed=self.seed)
        if self.json:
            print_json(found)
        else:
            print_lines(_lines(found))
        if self.strict and found["verdict"] != "clean":
            views = ", ".join(f"{name} {view['verdict']}" for name, view in found["views"].items())
            raise InputError(f"{self.pairs} is not clean ({views}); `asap pairs audit {self.pairs}` shows why")


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
    features = (f"{one['feature']} {one['rejected']} in {one['share']:.0%}" for one in view["top"])
    return f"{text}; in the rejected side {'; '.join(features)}"
