"""``asap bench check``."""

from dataclasses import dataclass

from asap.cli.output import print_json, print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Check the packaged prompts: counts, parts, duplicates, and overlap with training captions."""

    suite: str = "haf"
    """Suite to check: haf or haf-lite."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the counts."""
        from asap.workflows.evaluation.suite import check

        (print_json if self.json else print_lines)(check(self.suite))
