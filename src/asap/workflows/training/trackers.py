"""Numbers and images of a run in TensorBoard, trackio or Weights & Biases, through accelerate's trackers."""

import importlib.util
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.core.errors import InputError, MissingDependencyError, StoreError, UnknownNameError
from asap.core.files import read_json, write_json

__all__ = ["TRACKERS", "TRACKING", "Trackers", "check_trackers"]

TRACKERS: Final = ("tensorboard", "trackio", "wandb")
PROJECT: Final = "asap"
TRACKING: Final = "tracking.json"
"""File in a run's folder that holds what services know it by."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse what is unknown or not installed.

    Raises:
        UnknownNameError: a name that is not one of ``TRACKERS``.
        MissingDependencyError: its package is absent.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(name, f"tracking with {name}")


class Trackers:
    """The trackers of one run; none is as good as any."""

    def __init__(
        self,
        accelerator: Any,  # noqa: ANN401
        names: Sequence[str],
        out: Path,
        config: Mapping[str, object],
        *,
        first_step: int,
    ) -> None:
        """Start them, in the main process alone (accelerate sees to that).

        Args:
            accelerator: the run's.
            names: of ``TRACKERS``.
            out: the run's folder; TensorBoard writes to ``out/tensorboard``.
            config: plain values to show beside the curves.
            first_step: what an earlier sitting has logged from there on is dropped, where the tracker can.

        Raises:
            InputError: a service refuses.
            StoreError: the file with the run's name there is damaged.
        """
        self._accelerator, self._names = accelerator, tuple(names)
        if not names:
            return
        from accelerate.tracking import filter_trackers

        run = _run_id(out, names, accelerator)
        extra: dict[str, dict[str, Any]] = {
            "tensorboard": {"purge_step": first_step},
            "trackio": {"name": f"{out.name}-{run}", "resume": "allow"},
            "wandb": {"name": out.name, "id": run, "dir": str(out), "resume": "allow"},
        }
        accelerator.project_configuration.set_directories(str(out / "tensorboard"))
        accelerator.log_with = filter_trackers(list(names), str(out / "tensorboard"))
        try:
            with redirect_stdout(sys.stderr):  # trackio speaks there, and standard output is the command's answer
                accelerator.init_trackers(PROJECT, None, {name: extra[name] for name in names})
                for tracker in accelerator.trackers:
                    if tracker.name != "tensorboard":  # which would make a folder of its own for them
                        tracker.store_init_configuration({key: str(value) for key, value in config.items()})
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"cannot start tracking with {', '.join(names)}: {str(error).splitlines()[0]}") from error

    def log(self, step: int, values: Mapping[str, float | None], *, group: str) -> None:
        """Numbers of a step as ``group/NAME``; those without a value are left out."""
        if self._names:
            known = {f"{group}/{name}": value for name, value in values.items() if value is not None}
            self._accelerator.log(known, step=step)

    def show(self, step: int, name: str, images: npt.NDArray[np.uint8]) -> None:
        """Images (B, H, W, 3), where accelerate's tracker takes images (trackio's does not)."""
        for tracker in self._accelerator.trackers if self._names else ():
            if tracker.name == "tensorboard":
                tracker.log_images({name: images}, step=step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images({name: list(images)}, step=step)

    def close(self) -> None:
        """Flush and end them; the processes stay joined."""
        with redirect_stdout(sys.stderr):
            for tracker in self._accelerator.trackers if self._names else ():
                tracker.finish()


def _run_id(out: Path, names: Sequence[str], accelerator: Any) -> str:  # noqa: ANN401
    """What a service knows the run by, so that a later sitting goes on with it and no other run of that name does."""
    path = out / TRACKING
    if path.exists():
        found = read_json(path)
        if isinstance(found, dict) and isinstance(found.get("run"), str):
            return str(found["run"])
        raise StoreError(f"{path} does not name a run; delete it")
    made = secrets.token_hex(4)
    if accelerator.is_main_process and set(names) - {"tensorboard"}:
        write_json(path, {"run": made})
    return made
