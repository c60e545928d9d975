"""What a training run leaves for others: an adapter in diffusers format, or the denoiser's full weights."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file

from asap.backbones import Backbone
from asap.backbones.fingerprint import tensor_digest
from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, make_folder
from asap.core.hashing import digest_json

__all__ = ["ADAPTER", "DENOISER", "apply_trained", "save_trained", "trained_hash", "whole_folder"]

ADAPTER: Final = "adapter"
DENOISER: Final = "denoiser"


def save_trained(backbone: Backbone, run: Path, *, full: bool) -> Path:
    """Write ``run/adapter`` (``load_lora_weights`` reads it) or ``run/denoiser`` (diffusers' ``from_pretrained``).

    The folder appears whole or not at all. Returns its path; raises ``InputError`` if it cannot be written.
    """
    denoiser: Any = backbone.denoiser
    if full:
        return whole_folder(run / DENOISER, denoiser.save_pretrained)
    return whole_folder(run / ADAPTER, backbone.save_lora)


def whole_folder(target: Path, write: Callable[[Path], None]) -> Path:
    """Let ``write`` make a folder under another name, then rename it to ``target``, in place of what is there.

    Returns ``target``; raises ``InputError`` if it cannot be written.
    """
    temporary = make_folder(target.parent) / f"{TEMPORARY}{target.name}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        write(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write {target}: {reason}") from error
    return target


def apply_trained(backbone: Backbone, run: Path) -> None:
    """Put what a run or one of its snapshots trained on a freshly loaded backbone.

    Args:
        backbone: the model that was aligned, changed in place.
        run: a folder that holds ``adapter`` or ``denoiser``, or one of these itself.

    Raises:
        InputError: the folder holds neither, or it belongs to another model.
    """
    if (run / DENOISER).is_dir():
        run = run / DENOISER
    elif (run / ADAPTER).is_dir():
        run = run / ADAPTER
    if not (run / "config.json").is_file():
        backbone.load_lora(run)
        return
    denoiser: Any = backbone.denoiser
    try:
        weights = type(denoiser).from_pretrained(str(run), local_files_only=True).state_dict()
        denoiser.load_state_dict(weights)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{run} holds no weights that fit {backbone.name}: {reason}") from error


def trained_hash(folder: Path) -> str:
    """Hash of the tensors of an adapter or denoiser folder: of names, shapes, types and bytes.

    Not of the files, whose metadata safetensors writes in another order each time.

    Raises:
        StoreError: the folder has no readable weight file.
    """
    files = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    if not files:
        raise StoreError(f"{folder} holds no .safetensors file; train again")
    digests: dict[str, str] = {}
    for file in files:
        try:
            tensors = load_file(str(file))
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{file} cannot be read ({error}); train again") from error
        digests |= {name: tensor_digest(value) for name, value in tensors.items()}
    return digest_json(digests)
