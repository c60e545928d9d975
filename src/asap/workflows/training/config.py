"""What a training run can be asked for, by name: from keywords, from flags, or from a file of settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

import yaml

from asap.align.methods import LossSettings, Method, resolve_method
from asap.align.settings import TrainSettings
from asap.backbones.family import LoadOptions
from asap.core.errors import ConfigError, InputError
from asap.core.settings import typed
from asap.core.vocabulary import KINDS
from asap.workflows.training.crops import Framing
from asap.workflows.training.monitoring import Watch
from asap.workflows.training.trackers import check_trackers

__all__ = ["Request", "known_keys", "read_config", "request", "settle"]

LR: Final = {"lora": 1e-4, "full": 8e-6}
"""Learning rates that hold in practice: the usual one of adapters, and the one at which full training stayed whole."""
RANK: Final = 16
STEPS: Final = 150


@dataclass(frozen=True, kw_only=True)
class Request:
    """A checked request; every field but the last six is a key of a file of settings.

    So is every field of ``LossSettings``, ``TrainSettings``, ``Watch``, ``Framing`` and ``LoadOptions``, whence those.
    """

    model: str = "mini"
    """A known name, a pipeline folder, or an id of the hub."""
    pairs: Path
    """A finished pair store."""
    out: Path
    """Folder of the run."""
    method: str = "asap"
    """One of ``align.METHODS``."""
    lora_rank: int | None = None
    """Rank and scaling numerator of the adapter; None: 16."""
    full: bool = False
    """Train all weights of the denoiser instead."""
    resume: bool = True
    """Go on with a stopped run in ``out``; False starts it over."""
    global_batch: int | None = None
    """Pairs a step over all processes: sets ``grad_accum``, so that one file serves any number of processes."""
    snapshots: tuple[int, ...] = ()
    """Numbers of steps after which the weights are saved as well."""
    kinds: tuple[str, ...] = ("defect",)
    """Kinds of pairs to learn from, of ``vocabulary.KINDS``."""
    cache: Path | None = None
    """Folder of encoded pairs; None: beside the pair store, ``NAME.latents``."""
    cache_limit: float | None = None
    """Gigabytes that it may take: what was not used longest goes, of other models first, never what is in use."""
    track: tuple[str, ...] = ()
    """Where to show the run's numbers and images besides: tensorboard, trackio, wandb."""
    prompts: tuple[str, ...] = ()
    """What validation images are drawn of; none: the first captions of the pairs."""
    shape: Method
    loss: LossSettings
    training: TrainSettings
    watch: Watch
    framing: Framing
    load: LoadOptions

    @property
    def rank(self) -> int | None:
        """Of the adapter; None trains all weights."""
        return None if self.full else self.lora_rank or RANK


_SETTLED: Final = ("shape", "loss", "training", "watch", "framing", "load")
_KINDS: Final = (LossSettings, TrainSettings, Watch, Framing, LoadOptions)
_LISTS: Final = {"snapshots": int, "kinds": str, "track": str, "prompts": str}


def known_keys() -> list[str]:
    """Every name that ``request`` takes, sorted."""
    own = {item.name for item in fields(Request)} - set(_SETTLED)
    return sorted(own.union(*({item.name for item in fields(kind)} for kind in _KINDS)))


def request(given: Mapping[str, object]) -> Request:
    """Check settings given by name; None leaves one as it is.

    Raises:
        ConfigError: an unknown name (with the nearest known one), a value of another type or out of range.
        UnknownNameError: no such method or tracker.
        MissingDependencyError: a tracker's package is absent.
    """
    chosen = {key: value for key, value in given.items() if value is not None}
    _refuse_unknown(chosen, "unknown setting")
    if missing := [name for name in ("pairs", "out") if name not in chosen]:
        raise ConfigError(f"training needs {' and '.join(missing)}: a pair store to learn from, a folder for the run")
    simple = {name: value for name, value in chosen.items() if name not in _special() and not isinstance(value, dict)}
    found = {**chosen, **typed(simple, *_KINDS)}
    paths: dict[str, object] = {name: Path(str(chosen[name])) for name in ("pairs", "out", "cache") if name in chosen}
    plain = {**_plain(chosen), **paths}
    _check(plain)
    parts = [{key: value for key, value in found.items() if key in _names(kind)} for kind in _KINDS]
    method = str(plain.setdefault("method", "asap"))
    shape, loss = resolve_method(method, parts[0])
    stepping = {"steps": STEPS, "lr": LR["full" if plain.get("full") else "lora"], **parts[1]}
    asked = Request(
        **cast("dict[str, Any]", plain),
        shape=shape,
        loss=loss,
        training=TrainSettings(**stepping),
        watch=Watch(**parts[2]),
        framing=Framing(**parts[3]),
        load=LoadOptions(**parts[4]),
    )
    if faults := [*asked.training.faults(), *asked.watch.faults(), *asked.framing.faults()]:
        raise ConfigError.collect(faults)
    check_trackers(asked.track)
    return asked


def read_config(path: Path) -> dict[str, object]:
    """The settings in a YAML file, with names that ``request`` knows; paths are taken from the working folder.

    Raises:
        InputError: the file cannot be read, or is not YAML of ``name: value`` lines.
        ConfigError: an unknown name; the nearest known one is given.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{path} must hold lines of the form `name: value`, see configs/ for examples")
    _refuse_unknown(found, f"{path}: unknown key")
    return found


def settle(asked: Request, processes: int) -> Request:
    """With ``grad_accum`` where the batch of a step was asked for.

    Raises:
        ConfigError: the batch asked for is no multiple of the pairs that the processes take at a time.
    """
    if asked.global_batch is None:
        return asked
    at_once = asked.training.batch_size * processes
    accum, rest = divmod(asked.global_batch, at_once)
    if rest or not accum:
        raise ConfigError(
            f"global_batch must be a multiple of batch_size x processes = {at_once}, got {asked.global_batch}"
        )
    return replace(asked, training=replace(asked.training, grad_accum=accum))


def _refuse_unknown(given: Mapping[str, object], what: str) -> None:
    known = known_keys()
    faults, strange = [], False
    for name in sorted(given.keys() - set(known)):
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        faults.append(f"{what} {name!r}, did you mean {near[0]}?" if near else f"{what} {name!r}")
        strange = strange or not near
    if faults:
        raise ConfigError.collect([*faults, *([f"known: {', '.join(known)}"] if strange else [])])


def _names(kind: type) -> set[str]:
    return {item.name for item in fields(kind)}


def _special() -> set[str]:
    """Names of the request's own fields."""
    return _names(Request) - set(_SETTLED)


def _plain(chosen: Mapping[str, object]) -> dict[str, object]:
    """The request's own fields with their types checked, lists as tuples."""
    wanted = {
        "model": str,
        "method": str,
        "lora_rank": int,
        "global_batch": int,
        "full": bool,
        "resume": bool,
    }
    faults, found = [], dict[str, object]()
    for name, kind in wanted.items():
        if name in chosen:
            found[name] = chosen[name]
            if type(chosen[name]) is not kind:
                words = {str: "text", int: "a whole number", bool: "true or false"}[kind]
                faults.append(f"{name} must be {words}, got {chosen[name]!r}")
    for name, kind in _LISTS.items():
        if name in chosen:
            value = chosen[name]
            items = (value,) if type(value) is kind else tuple(value) if isinstance(value, Sequence | set) else (None,)
            found[name] = items
            if isinstance(value, str) != (type(value) is kind) or not all(type(item) is kind for item in items):
                faults.append(f"{name} must be a list of {'whole numbers' if kind is int else 'words'}, got {value!r}")
    if "cache_limit" in chosen:
        limit = chosen["cache_limit"]
        good = isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit < math.inf
        found["cache_limit"] = limit
        faults += [] if good else [f"cache_limit must be a number of gigabytes above 0, got {limit!r}"]
    if faults:
        raise ConfigError.collect(faults)
    return found


def _check(plain: Mapping[str, object]) -> None:
    rank, kinds = plain.get("lora_rank"), cast("tuple[str, ...]", plain.get("kinds", ("defect",)))
    if plain.get("full") and rank is not None:
        raise ConfigError("full trains every weight, lora_rank an adapter; ask for one of them")
    if rank is not None and cast("int", rank) < 1:
        raise ConfigError(f"lora_rank must be at least 1, got {rank}")
    if not kinds or set(kinds) - set(KINDS):
        raise ConfigError(f"kinds must be some of {', '.join(KINDS)}, got {', '.join(kinds) or 'none'}")
