"""What is looked at while a run goes on: how often it is saved and validated, and when it must end early."""

from dataclasses import dataclass

__all__ = ["Watch"]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Settings that change no weight: a rerun may ask for others."""

    checkpoint_every: int = 50
    """Steps between two checkpoints."""

    def faults(self) -> list[str]:
        """What is out of range, in words."""
        checks = {
            f"checkpoint_every must be >= 1, got {self.checkpoint_every}": self.checkpoint_every >= 1,
        }
        return [text for text, good in checks.items() if not good]
