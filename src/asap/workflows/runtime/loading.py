"""How a model is loaded, as flags and YAML keys; imports no torch, so that ``--help`` is quick."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from asap.backbones.family import LoadOptions

__all__ = ["Loading"]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How the model is loaded."""

    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1, mps; a GPU is used automatically."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of the weights; auto is float32 on the CPU and bfloat16 elsewhere. The autoencoder is always float32."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model."""
    variant: str | None = None
    """Variant of the weight files, for instance fp16."""
    schedule: Mapping[str, object] = field(default_factory=dict)
    """Override scheduler settings of the model that are wrong, for instance prediction_type=v_prediction."""

    def options(self) -> "LoadOptions":
        """The same for ``backbones.load``."""
        from asap.backbones.family import LoadOptions

        known = {item.name for item in fields(LoadOptions)}
        return LoadOptions(**{name: value for name, value in vars(self).items() if name in known})
