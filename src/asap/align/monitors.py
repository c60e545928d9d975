"""Signs that training degrades a policy. They hold plain values only, so that a checkpoint can hold them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ChosenDegradationMonitor", "PredictionNormMonitor"]


@dataclass
class ChosenDegradationMonitor:
    """Notices when delta grows because the rejected side gets worse faster than the chosen one, which gets worse too.

    Smooths delta and the relative rise of the chosen side's weighted error over about ``window`` steps and compares
    them with their values one window before.
    """

    window: int = 20
    """Steps."""
    bound: float = 0.02
    """Relative rise of the chosen side's error below which nothing is reported."""
    steps: int = 0
    delta: float = 0.0
    rise: float = 0.0
    past_delta: float = 0.0
    past_rise: float = 0.0
    degrading: bool = False

    def update(self, row: Mapping[str, float | None]) -> bool:
        """Take one step's log row; True when degradation is first noticed, and again after it has ended."""
        reference = row["reference_winner"] or 1.0
        rate = max(1 / self.window, 1 / (self.steps + 1))
        self.delta += rate * ((row["delta"] or 0.0) - self.delta)
        self.rise += rate * ((row["winner_rise"] or 0.0) / reference - self.rise)
        self.steps += 1
        if self.steps % self.window:
            return False
        now = self.delta > max(self.past_delta, 0.0) and self.rise > max(self.past_rise, self.bound)
        first = now and not self.degrading
        self.degrading, self.past_delta, self.past_rise = now, self.delta, self.rise
        return first

    def exceeds(self, bound: float | None) -> bool:
        """Whether the smoothed relative rise is above ``bound`` after a whole window; never for None."""
        return bound is not None and self.steps >= self.window and self.rise > bound


@dataclass
class PredictionNormMonitor:
    """How far the norm of the policy's prediction is from the reference's: | |v_theta| / |v_ref| - 1 |, smoothed.

    A prediction that has grown or shrunk everywhere shows in images as wrong contrast, whatever the margin says. The
    first ``window`` steps are averaged evenly, later ones exponentially.
    """

    window: int = 20
    """Steps."""
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
        """Whether the drift is above ``bound`` after a whole window; never for None."""
        return bound is not None and self.steps >= self.window and self.drift > bound
