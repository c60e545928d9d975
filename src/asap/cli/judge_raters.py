"""``asap judge raters``."""

from dataclasses import dataclass
from pathlib import Path

from asap.cli.output import print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Measure the agreement of the raters: Krippendorff's alpha with its interval."""

    ratings: Path
    """Folder of the answers of all raters."""

    def run(self) -> None:
        """Print the agreement."""
        from asap.workflows.evaluation.rate import agreement_of_raters

        print_lines({"krippendorff_alpha": agreement_of_raters(self.ratings).to_json()})
