"""``asap pairs import``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from asap.cli.output import print_json, print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Import the pairs of another tool into a new pair store."""

    source: Positional[Path]
    """Folder of the other tool's files, or one shard."""
    format: Literal["pickapic", "parquet", "webdataset", "onetrainer", "kohya"]
    """Format of the source."""
    out: Path
    """Folder of the pair store."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Import and print the counts."""
        from asap.workflows.datasets.importing import import_pairs

        found = import_pairs(self.source, self.out, name=self.format)
        (print_json if self.json else print_lines)(found)
