"""Loading an inpainter from a pipeline folder or a repository of the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import nn

from asap.backbones.family import DTYPES, INDEX, Dtype, LoadOptions, read_settings
from asap.backbones.hub import fetch_index, fetch_part, fetch_pipeline
from asap.backbones.pipeline import (
    copy_weights,
    diffusers_class,
    dtype_argument,
    open_pipeline,
    reading,
)
from asap.core.errors import ConfigError, InputError, UnknownNameError
from asap.core.hashing import digest_file, digest_json
from asap.degrade.diffusion.families import Family, find_family
from asap.degrade.diffusion.inpainter import KINDS, MAPS
from asap.degrade.diffusion.pipeline import PipelineInpainter

__all__ = ["load_inpainter"]

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
) -> PipelineInpainter:
    """An inpainter for ``kind``, in the class of diffusers that fits the model_index.json of ``model``.

    Args:
        kind: repaint, skeleton or guided.
        model: folder of a diffusers pipeline, or the id of one on the hub.
        controlnet: folder or id; for guided one or more as ``depth=ID,normal=ID,pose=ID`` (a bare ID means pose for
            skeleton and depth for guided). One ID under several maps is loaded once.
        device: as torch names it; ``auto`` is a GPU if there is one.
        dtype: auto (float32 on the CPU, bfloat16 elsewhere), float32, bfloat16 or float16.
        steps: sampling steps; None for the family's default.
        guidance: guidance scale; None for the family's default.
        size: pixels of the longer side when inpainting; None for the model's training size.

    Raises:
        UnknownNameError: ``kind`` is none of the three.
        ConfigError: a setting is out of range.
        StoreError: a model is missing, incomplete or unreadable.
        InputError: the model is of a class that cannot inpaint, or the device is absent.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of inpainter", kind, KINDS)
    _check(dtype, steps, guidance, size)
    options = LoadOptions(device=device, dtype=cast("Dtype", dtype)).settled()
    source = str(read_settings(fetch_index(model, options) / INDEX).get("_class_name"))
    names = _parse(kind, controlnet)
    parts = {name: fetch_part(name, _CONTROLNET_FILES) for name in dict.fromkeys(names.values())}
    union = any("num_control_type" in read_settings(part / "config.json") for part in parts.values())
    family = find_family(kind, source, controlled=bool(parts), union=union)
    folder = fetch_pipeline(model, options)
    networks = {name: _network(family, part, options.torch_dtype) for name, part in parts.items()}
    _check_maps(family, networks, tuple(names))
    return PipelineInpainter(
        _pipeline(family, folder, _arrange(family, networks, names), options),
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
    if dtype not in ("auto", *DTYPES):
        faults.append(f"dtype must be auto, {', '.join(DTYPES)}, not {dtype!r}")
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


def _network(family: Family, folder: Path, dtype: torch.dtype) -> nn.Module:
    kind = diffusers_class(family.controlnet)
    with reading(f"the {family.controlnet} in {folder}"):
        network: nn.Module = kind.from_pretrained(str(folder), local_files_only=True, **dtype_argument(dtype))
    copy_weights(network)
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


def _pipeline(family: Family, folder: Path, network: Any, options: LoadOptions) -> Any:  # noqa: ANN401
    arguments: dict[str, Any] = dict.fromkeys(family.drop)
    if "safety_checker" in family.drop:
        arguments["requires_safety_checker"] = False
    if network is not None:
        arguments["controlnet"] = network
    dtype = options.torch_dtype
    pipeline = open_pipeline(folder, options, pipeline_class=family.pipeline, vae_dtype=dtype, **arguments)
    if dtype == torch.float32 and getattr(pipeline.vae.config, "force_upcast", False):
        pipeline.vae.register_to_config(force_upcast=False)  # already float32; diffusers would warn at each call
    return pipeline


def _weights(folder: Path, dropped: tuple[str, ...] = ()) -> str:
    """Hash of all files that are loaded from ``folder``.

    A file in the hub's cache is a link to a blob whose name is its SHA-256, so it need not be read.
    """
    index = read_settings(folder / INDEX) if (folder / INDEX).is_file() else {}
    parts = [key for key in index if not key.startswith("_") and key not in dropped]
    files = [path for part in parts for path in (folder / part).rglob("*") if path.suffix in _KEPT]
    files += [path for path in folder.glob("*") if path.suffix in _KEPT]
    rows = {}
    for path in files:
        blob = path.resolve().name
        known = path.is_symlink() and len(blob) == _DIGEST
        rows[path.relative_to(folder).as_posix()] = blob if known else digest_file(path)
    return digest_json(rows)
