"""The domain of a calibration: the kind of images that it was measured on.

Sensitivity and specificity hold for images like those they were measured on. The judge ``learned`` has an AUROC of
0.964 on edited renders and of about 0.6 on the images that the embedded model generates, so a rate on generated images
must not be corrected with rates from renders. Only a calibration on images of the same generator covers a run of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from asap.core.errors import StoreError

__all__ = ["KINDS", "Domain", "domain_text", "read_domains"]

KINDS: Final = ("rendered", "photographed", "generated", "imported")
"""``rendered`` and ``photographed``: pairs of known truth; ``generated``: images that asap drew with a model;
``imported``: images made elsewhere, of which asap does not know how."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A kind of image."""

    kind: str
    """One of ``KINDS``."""
    models: tuple[str, ...] = ()
    """Names of the generator, its own first, then those of the models it was trained from. Of pairs of known truth: the
    model through whose autoencoder the images passed."""
    generators: tuple[str, ...] = ()
    """Fingerprints of these generators."""
    size: int | None = None
    """Longer side of the images in pixels; None if they have several sizes."""
    scene: str = ""
    """Of rendered images."""

    @property
    def text(self) -> str:
        """In words, for example ``edited renders at 64 px, scene studio, passed through the autoencoder of mini``."""
        own = self.models[0] if self.models else ""
        weights = f" ({self.generators[0][:8]})" if self.generators else ""
        nouns = {
            "rendered": "edited renders",
            "photographed": "edited photographs",
            "imported": "images made elsewhere",
        }
        noun = nouns.get(self.kind, f"images of {own or 'an unknown model'}{weights}")
        parts = [noun + (f" at {self.size} px" if self.size else "")]
        parts += [f"scene {self.scene}"] if self.scene else []
        if self.kind in ("rendered", "photographed") and own:
            parts.append(f"passed through the autoencoder of {own}")
        return ", ".join(parts)

    def covers(self, images: "Domain") -> bool:
        """Whether a calibration on this domain holds for ``images``: the same generator at the same size."""
        same_size = None in (self.size, images.size) or self.size == images.size
        return self.kind == images.kind and same_size and bool(set(self.generators) & set(images.generators))

    def made_for(self, images: "Domain") -> bool:
        """Whether a judge that was trained on this domain may look at ``images``: its generator drew them.

        This is weaker than ``covers``: it says nothing about how often the judge is right.
        """
        return images.kind == "generated" and bool(set(self.models) & set(images.models))

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Domain":
        """What ``to_json`` gave; raises ``StoreError`` for anything else."""
        try:
            texts = {name: tuple(map(str, value[name])) for name in ("models", "generators")}
            size = None if value["size"] is None else int(value["size"])
            found = cls(kind=str(value["kind"]), size=size, scene=str(value["scene"]), **texts)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"not the domain of a calibration ({error}); run `asap judge calibrate`") from error
        if found.kind not in KINDS:
            raise StoreError(f"the kind of a domain is one of {', '.join(KINDS)}, got {found.kind!r}")
        return found


def domain_text(domains: Iterable[Domain]) -> str:
    """All domains in words."""
    return "; ".join(dict.fromkeys(one.text for one in domains)) or "unknown images"


def read_domains(block: Mapping[str, Any] | None) -> Sequence[Domain]:
    """What a calibration, or its block ``rated``, was measured on; empty where it does not say."""
    return [Domain.from_json(one) for one in (block or {}).get("measured_on", ())]
