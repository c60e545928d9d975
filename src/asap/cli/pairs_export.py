"""``asap pairs export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from asap.cli.output import print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write the pairs of a store in the format of another tool."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    format: Literal["pickapic", "parquet", "webdataset", "onetrainer", "kohya", "simpletuner"]
    """Format to write."""
    out: Path
    """Folder to write."""
    split: Literal["train", "val", "test"] | None = None
    """Export this split only."""
    nulls: bool = False
    """Also export null pairs, whose rejected image has no defect."""

    def run(self) -> None:
        """Export and print the counts."""
        from asap.workflows.datasets.export import export_pairs

        print_lines(export_pairs(self.pairs, self.out, name=self.format, split=self.split, nulls=self.nulls))
