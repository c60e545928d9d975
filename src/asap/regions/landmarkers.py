"""The landmarkers by name. Each one is imported on first use."""

from collections.abc import Callable
from typing import Any

from asap.core.errors import ConfigError
from asap.core.registry import Registry
from asap.regions.protocol import Landmarker

__all__ = ["LANDMARKERS", "Landmarker", "landmarker"]


def _mediapipe(**options: Any) -> Landmarker:  # noqa: ANN401
    from asap.regions.mediapipe.landmarker import MediaPipe

    return MediaPipe(**options)


def _rtmw(**options: Any) -> Landmarker:  # noqa: ANN401
    from asap.regions.rtm import WholeBody

    return WholeBody(name="rtmw", **options)


def _dwpose(**options: Any) -> Landmarker:  # noqa: ANN401
    from asap.regions.rtm import WholeBody

    return WholeBody(name="dwpose", **options)


def _grounded_sam(**options: Any) -> Landmarker:  # noqa: ANN401
    from asap.regions.grounded import GroundedSam

    sides = options.get("landmarker")  # its own option: the landmarker that provides sides and keypoints, here by name
    return GroundedSam(**{**options, "landmarker": landmarker(sides) if isinstance(sides, str) else sides})


def _user(**options: Any) -> Landmarker:  # noqa: ANN401
    from asap.regions.user import User

    return User(**options)


LANDMARKERS: Registry[Callable[..., Landmarker]] = Registry("landmarker")
LANDMARKERS.register("mediapipe", _mediapipe)
LANDMARKERS.register("rtmw", _rtmw)
LANDMARKERS.register("dwpose", _dwpose)
LANDMARKERS.register("grounded-sam", _grounded_sam)
LANDMARKERS.register("user", _user)


def landmarker(name: str, **options: Any) -> Landmarker:  # noqa: ANN401
    """The landmarker ``name`` with its options.

    Raises:
        UnknownNameError: no landmarker has that name.
        ConfigError: an option is unknown.
        MissingDependencyError: a package that it needs is not installed.
        StoreError: its weights are not on this machine.
    """
    make = LANDMARKERS.get(name)
    try:
        return make(**options)
    except TypeError as error:
        raise ConfigError(f"landmarker {name}: {error}; see docs/reference/landmarkers.md for its options") from error
