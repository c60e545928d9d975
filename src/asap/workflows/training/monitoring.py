"""What is looked at while a run goes on: how often it is saved and validated, and when it must end early."""

from dataclasses import dataclass

__all__ = ["Watch"]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Settings that change no weight before the run ends: a rerun may ask for others."""

    checkpoint_every: int = 50
    """Steps between two checkpoints."""
    validate_every: int = 0
    """Steps between two looks at held-out pairs and images; 0: none."""
    held_out: int = 64
    """Pairs of the split ``val`` that are looked at."""
    held_draws: int = 4
    """(noise, time) draws a held-out pair."""
    images: int = 4
    """Images drawn at each validation, at seeds 0, 1...; 0: none."""
    image_steps: int | None = None
    """Sampler steps of these; None: the model's own number."""
    stop_on_drift: float | None = None
    """End early once |v_theta| / |v_ref| is this far from 1, smoothed over 20 steps; None: never."""
    stop_on_texture: float | None = None
    """End early once fine detail or the cell grid of the validation images is this many times that of the images
    before the first step; None: never."""

    def faults(self) -> list[str]:
        """What is out of range, in words."""
        checks = {
            f"checkpoint_every must be >= 1, got {self.checkpoint_every}": self.checkpoint_every >= 1,
            f"validate_every must be >= 0, got {self.validate_every}": self.validate_every >= 0,
            f"held_out must be >= 0, got {self.held_out}": self.held_out >= 0,
            f"held_draws must be >= 1, got {self.held_draws}": self.held_draws >= 1,
            f"images must be >= 0, got {self.images}": self.images >= 0,
            f"image_steps must be >= 1, got {self.image_steps}": self.image_steps is None or self.image_steps >= 1,
            f"stop_on_drift must be > 0, got {self.stop_on_drift}": self.stop_on_drift is None
            or self.stop_on_drift > 0,
            f"stop_on_texture must be > 1, got {self.stop_on_texture}": self.stop_on_texture is None
            or self.stop_on_texture > 1,
            "stop_on_texture needs images; set validate_every and images": self.stop_on_texture is None
            or (self.validate_every > 0 and self.images > 0),
        }
        return [text for text, good in checks.items() if not good]
