"""Signs that a policy is being spoiled, kept along a run: numbers only, so that a checkpoint can hold them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DriftWatch"]


@dataclass
class DriftWatch:
    """How far the size of the policy's prediction is from the reference's: | |v_theta| / |v_ref| - 1 |, smoothed.

    A prediction that has grown or shrunk everywhere shows in samples as wrong contrast, whatever the margin says. The
    first ``window`` steps are averaged evenly, then exponentially.
    """

    window: int = 20
    steps: int = 0
    drift: float = 0.0

    def update(self, row: Mapping[str, float | None]) -> None:
        """Take one step's log row; a row without ``norm_ratio`` changes nothing."""
        ratio = row.get("norm_ratio")
        if ratio is None:
            return
        rate = max(1 / self.window, 1 / (self.steps + 1))
        self.drift += rate * (abs(ratio - 1) - self.drift)
        self.steps += 1

    def exceeds(self, bound: float | None) -> bool:
        """Whether a whole window has been seen and the drift is above ``bound``; never for None."""
        return bound is not None and self.steps >= self.window and self.drift > bound
