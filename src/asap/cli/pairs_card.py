"""``asap pairs card``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write a dataset card, Croissant metadata and a contact sheet into one folder."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    out: Path
    """Card to write, .md."""
    sources: Path | None = None
    """File with licences and consent of the sources, YAML or JSON."""

    def run(self) -> None:
        """Write the files and print their paths."""
        from asap.workflows.datasets.publish import write_card

        for path in write_card(self.pairs, self.out, statements=self.sources):
            print(path)
