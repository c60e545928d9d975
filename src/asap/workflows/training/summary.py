"""What a training run says before its first step: every setting that decides the result, as its manifest has them."""

from collections.abc import Mapping

__all__ = ["settings_told"]


def settings_told(config: Mapping[str, object]) -> list[str]:
    """A line for each key of a run's resolved settings; groups as ``name=value``, in their own order."""
    wide = max(len(key) for key in config)
    return [f"{key.ljust(wide)}  {_words(value)}" for key, value in config.items() if value is not None]


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_words(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
