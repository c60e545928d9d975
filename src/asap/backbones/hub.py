"""Pipelines and their parts: from a local folder, or from the hub's cache, downloaded on first use.

With HF_HUB_OFFLINE set only the cache is read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asap.backbones.family import INDEX, LoadOptions
from asap.core.errors import StoreError

__all__ = ["fetch_file", "fetch_index", "fetch_part", "fetch_pipeline"]


def fetch_index(name: str, options: LoadOptions) -> Path:
    """A folder that holds the model_index.json of the pipeline ``name``, and perhaps no more; raises ``StoreError``."""
    return fetch_file(name, INDEX, options).parent


def fetch_file(name: str, file: str, options: LoadOptions) -> Path:
    """One file of the pipeline ``name``, for instance a configuration; raises ``StoreError``."""
    if (folder := _local(name, INDEX, "diffusers pipeline folder")) is not None:
        return folder / file
    from huggingface_hub import hf_hub_download

    with _hub("model", name):
        return Path(hf_hub_download(name, file, revision=options.revision))


def fetch_pipeline(name: str, options: LoadOptions, unused: Sequence[str] = ()) -> Path:
    """A folder with all that diffusers loads of the pipeline ``name`` except ``unused``; raises ``StoreError``."""
    if (folder := _local(name, INDEX, "diffusers pipeline folder")) is not None:
        return folder
    from diffusers import DiffusionPipeline

    version = {"revision": options.revision, "variant": options.variant}
    with _hub("model", name):
        return Path(DiffusionPipeline.download(name, **version, **dict.fromkeys(unused)))


def fetch_part(name: str, files: Sequence[str]) -> Path:
    """A folder with a single network, such as a ControlNet; ``files`` are patterns. Raises ``StoreError``."""
    if (folder := _local(name, "config.json", "folder of a network")) is not None:
        return folder
    from huggingface_hub import snapshot_download

    with _hub("network", name):
        return Path(snapshot_download(name, allow_patterns=list(files)))


def _local(name: str, needed: str, what: str) -> Path | None:
    """The folder ``name`` if there is one; raises ``StoreError`` if it lacks the file ``needed``."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    if not (folder / needed).is_file():
        raise StoreError(f"{folder} is no {what}: it has no {needed}")
    return folder


@contextmanager
def _hub(what: str, name: str) -> Iterator[None]:
    """Inside, an error of the hub's client becomes a ``StoreError`` of one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        text = str(error).strip()
        reason = text.splitlines()[0] if text else type(error).__name__
        raise StoreError(f"no {what} {name!r}: it is no folder here, and the hub says: {reason}") from error
