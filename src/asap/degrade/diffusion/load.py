"""Loading a painter from a pipeline folder or a repository of the hub."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from asap.core.errors import ConfigError, InputError, StoreError, UnknownNameError
from asap.core.files import read_json
from asap.core.hashing import digest_file, digest_json
from asap.degrade.diffusion.families import Family, find_family
from asap.degrade.diffusion.inpainter import KINDS, MAPS

if TYPE_CHECKING:
    from asap.degrade.diffusion.pipeline import PipelineInpainter

__all__ = ["load_inpainter"]

DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
_KEPT: Final = (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja")
_DEFAULT_MAP: Final = {"repaint": "", "skeleton": "pose", "guided": "depth"}
_CONTROLNET_FILES: Final = (
    "config.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model-*.safetensors",
)
_DIGEST: Final = 64


def load_inpainter(
    kind: str,
    model: str,
    *,
    controlnet: str | None = None,
    device: str = "cpu",
    dtype: str = "auto",
    steps: int | None = None,
    guidance: float | None = None,
    size: int | None = None,
) -> "PipelineInpainter":
    """A painter for ``kind``, in the diffusers class that fits what ``model``'s model_index.json says.

    Args:
        kind: repaint, skeleton or guided.
        model: folder of a diffusers pipeline, or the id of one on the hub.
        controlnet: folder or id; for guided one or more as ``depth=ID,normal=ID,pose=ID`` (a bare ID means pose for
            skeleton and depth for guided). One ID under several maps is loaded once.
        device: of torch.
        dtype: auto (float32 on the CPU, bfloat16 elsewhere), float32, bfloat16 or float16.
        steps: of the sampler; None for the family's own number, and so for ``guidance``.
        guidance: of the text.
        size: pixels along the longer side to paint at; None for what the model was trained at.

    Raises:
        UnknownNameError: ``kind`` is none of the three.
        ConfigError: a setting is out of range.
        StoreError: a model is missing, incomplete or unreadable.
        InputError: the model is of a class that cannot paint, or the device is absent.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of painter", kind, KINDS)
    _check(dtype, steps, guidance, size)
    folder = _fetch(model, index_only=True)
    source = str(_read(folder / "model_index.json").get("_class_name"))
    names = _parse(kind, controlnet)
    parts = {name: _fetch_controlnet(name) for name in dict.fromkeys(names.values())}
    union = any("num_control_type" in _read(part / "config.json") for part in parts.values())
    family = find_family(kind, source, controlled=bool(parts), union=union)
    where, number_type = _place(device, dtype)
    folder = _fetch(model)
    with _quiet():
        networks = {name: _network(family, part, number_type) for name, part in parts.items()}
        _check_maps(family, networks, tuple(names))
        pipeline = _pipeline(family, folder, _arrange(family, networks, names), number_type)
    pipeline.to(where)
    from asap.degrade.diffusion.pipeline import PipelineInpainter

    return PipelineInpainter(
        pipeline,
        family,
        name="+".join(Path(part).name for part in (model, *parts)),
        weights=digest_json([_weights(folder, family.drop), *(_weights(part) for part in parts.values())]),
        steps=family.steps if steps is None else steps,
        guidance=family.guidance if guidance is None else guidance,
        size=size,
        maps=tuple(names) if kind != "repaint" else (),
    )


def _check(dtype: str, steps: int | None, guidance: float | None, size: int | None) -> None:
    faults = []
    if dtype not in DTYPES:
        faults.append(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if steps is not None and steps < 1:
        faults.append(f"steps must be at least 1, not {steps}")
    if guidance is not None and not guidance >= 0:
        faults.append(f"guidance must be at least 0, not {guidance}")
    if size is not None and size < 1:
        faults.append(f"size must be positive, not {size}")
    if faults:
        raise ConfigError.collect(faults)


def _parse(kind: str, controlnet: str | None) -> dict[str, str]:
    """``controlnet`` as id by map; the map is empty for repaint, whose ControlNets take the masked image itself."""
    names: dict[str, str] = {}
    for item in (controlnet or "").split(","):
        if not (text := item.strip()):
            continue
        head, sign, tail = text.partition("=")
        key, value = (head.strip(), tail.strip()) if sign else (_DEFAULT_MAP[kind], text)
        if sign and key not in MAPS:
            raise UnknownNameError("map", key, MAPS)
        if key in names or not value:
            raise ConfigError(f"controlnet must be ID or MAP=ID,MAP=ID with each map once, not {controlnet!r}")
        names[key] = value
    if kind == "skeleton" and set(names) - {"pose"}:
        raise ConfigError(f"skeleton draws a pose alone; controlnet must be one ID, not {controlnet!r}")
    if kind == "repaint" and set(names) - {""}:
        raise ConfigError(f"repaint takes no maps; controlnet must be the ID of an inpainting one, not {controlnet!r}")
    return names


def _fetch(model: str, *, index_only: bool = False) -> Path:
    """The folder of a pipeline; of one on the hub, what is missing is downloaded (unless HF_HUB_OFFLINE is set)."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise StoreError(f"{folder} is no diffusers pipeline folder: it has no model_index.json")
        return folder
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    try:
        if index_only:
            return Path(hf_hub_download(model, "model_index.json")).parent
        return Path(DiffusionPipeline.download(model))
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing("pipeline", model, error) from error


def _fetch_controlnet(name: str) -> Path:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise StoreError(f"{folder} is no folder of a ControlNet: it has no config.json")
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_CONTROLNET_FILES)))
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing("ControlNet", name, error) from error


def _missing(what: str, name: str, error: Exception) -> StoreError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return StoreError(f"no {what} {name!r}: it is no folder here, and the hub says: {reason}")


def _place(device: str, dtype: str) -> tuple[Any, Any]:
    """Device and number type of torch; raises ``InputError`` when this machine lacks the device."""
    import torch

    try:
        where = torch.device(device)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"no device {device!r} here: {str(error).splitlines()[0]}") from error
    if dtype == "auto":
        return where, torch.float32 if where.type == "cpu" else torch.bfloat16
    return where, getattr(torch, dtype)


def _network(family: Family, folder: Path, number_type: Any) -> Any:  # noqa: ANN401
    import diffusers

    kind = getattr(diffusers, family.controlnet, None)
    if kind is None:
        raise InputError(f"the installed diffusers {diffusers.__version__} has no {family.controlnet}; update it")
    try:
        network = kind.from_pretrained(str(folder), local_files_only=True, **_typed(number_type))
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise StoreError(f"{folder} holds no {family.controlnet}: {str(error).splitlines()[0]}") from error
    _settle(network)
    return network


def _check_maps(family: Family, networks: Mapping[str, Any], maps: tuple[str, ...]) -> None:
    """Refuse a map that a ControlNet with modes has none for; ``InputError``."""
    for name, network in networks.items():
        moded = family.controlnet == "ControlNetUnionModel" or bool(getattr(network, "union", False))
        if lacking := [key for key in maps if moded and key not in family.modes]:
            raise InputError(f"{name} has no mode for {', '.join(lacking)}; it has {', '.join(family.modes)}")


def _arrange(family: Family, networks: Mapping[str, Any], names: Mapping[str, str]) -> Any:  # noqa: ANN401
    """One ControlNet, or a list in the order of the maps."""
    loaded = list(networks.values())
    if len(loaded) > 1 and (family.controlnet == "ControlNetUnionModel" or len(loaded) != len(names)):
        raise InputError("give one ControlNet for all maps, or another one for each")
    if len(loaded) > 1:
        return loaded
    if loaded and len(names) > 1 and family.controlnet == "FluxControlNetModel":
        return loaded  # a list of one: the pipeline then takes several images with a mode each
    if loaded and len(names) > 1 and family.controlnet != "ControlNetUnionModel":
        raise InputError(f"a {family.controlnet} takes one map; name another ControlNet for each of {', '.join(names)}")
    return loaded[0] if loaded else None


def _pipeline(family: Family, folder: Path, network: Any, number_type: Any) -> Any:  # noqa: ANN401
    import diffusers

    kind = getattr(diffusers, family.pipeline, None)
    if kind is None:
        raise InputError(f"the installed diffusers {diffusers.__version__} has no {family.pipeline}; update it")
    arguments: dict[str, Any] = dict.fromkeys(family.drop)
    if "safety_checker" in family.drop:
        arguments["requires_safety_checker"] = False
    if network is not None:
        arguments["controlnet"] = network
    try:
        pipeline = kind.from_pretrained(str(folder), local_files_only=True, **arguments, **_typed(number_type))
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StoreError(f"cannot read the pipeline in {folder}: {reason}") from error
    for part in pipeline.components.values():
        _settle(part)
    if str(number_type) == "torch.float32" and getattr(pipeline.vae.config, "force_upcast", False):
        pipeline.vae.register_to_config(force_upcast=False)  # nothing to do, about which diffusers warns at each call
    return pipeline


def _typed(number_type: Any) -> dict[str, Any]:  # noqa: ANN401
    """The argument that sets the number type, whose name differs between versions of diffusers."""
    from diffusers.utils import deprecation_utils

    return {"dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype": number_type}


def _settle(part: Any) -> None:  # noqa: ANN401
    """Out of the mapped file: matrix kernels of the CPU round differently at its odd addresses."""
    from torch import nn

    if isinstance(part, nn.Module):
        part.eval()
        for parameter in part.parameters():
            parameter.data = parameter.data.clone()


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of loading; the setting is put back."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loggers = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in loggers:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in loggers:
            log.enable_progress_bar()


def _read(path: Path) -> Mapping[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise StoreError(f"{path} holds no settings; fetch or export the model anew")
    return cast("Mapping[str, Any]", value)


def _weights(folder: Path, dropped: tuple[str, ...] = ()) -> str:
    """Hash of all files that are loaded from ``folder``.

    A file in the hub's cache is a link to a blob that is named by its SHA-256, which saves reading it.
    """
    index = _read(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    parts = [key for key in index if not key.startswith("_") and key not in dropped]
    files = [path for part in parts for path in (folder / part).rglob("*") if path.suffix in _KEPT]
    files += [path for path in folder.glob("*") if path.suffix in _KEPT]
    rows = {}
    for path in files:
        blob = path.resolve().name
        known = path.is_symlink() and len(blob) == _DIGEST
        rows[path.relative_to(folder).as_posix()] = blob if known else digest_file(path)
    return digest_json(rows)
