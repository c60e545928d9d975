"""``asap pairs push``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.cli.output import print_json


@dataclass(frozen=True, kw_only=True)
class Command:
    """Upload a pair store to the Hugging Face Hub."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    repo: str
    """Dataset on the Hub, OWNER/NAME; it is created if it does not exist."""
    sources: Path | None = None
    """File with licences and consent of the sources, YAML or JSON."""
    private: bool = False
    """Make the dataset private."""
    revision: str | None = None
    """Branch to push to; the main branch by default."""
    allow_unstated: bool = False
    """Push even if the licence or the consent of a source is not stated."""
    dry_run: bool = False
    """Check everything and list the files, but send nothing."""

    def run(self) -> None:
        """Push and print what was sent."""
        from asap.workflows.datasets.publish import push_pairs

        found = push_pairs(
            self.pairs,
            self.repo,
            statements=self.sources,
            private=self.private,
            revision=self.revision,
            allow_unstated=self.allow_unstated,
            dry_run=self.dry_run,
        )
        print_json(found)
