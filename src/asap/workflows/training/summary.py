"""The resolved settings of a run as lines of text, as printed before the first step."""

from collections.abc import Mapping

__all__ = ["settings_summary"]


def settings_summary(config: Mapping[str, object]) -> list[str]:
    """A line per key of a run's manifest config; groups as ``name=value``."""
    wide = max(len(key) for key in config)
    return [f"{key.ljust(wide)}  {_text(value)}" for key, value in config.items() if value is not None]


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
