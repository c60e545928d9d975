"""``asap pairs build``: from rendered people or from a folder of photographs to a pair store."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from asap.cli.output import print_lines
from asap.cli.values import fraction, natural, positive, positive_real
from asap.core.errors import InputError
from asap.core.vocabulary import IDENTITY_POOLS, SCENES

if TYPE_CHECKING:
    from asap.workflows.pairs.filters import Screening
    from asap.workflows.pairs.inpainting import Painting

__all__ = ["configure"]

BODIES = "bodies"
GUIDED = "guided"
OWN = "own"
SIZE = {"bodies": 128, "guided": 512, "photographs": 512}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--source", default=BODIES, metavar="bodies|DIR", help="rendered people, or a folder of photographs (bodies)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the pair store")
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="side of rendered people (128; guided 512), longest side of photos, worked on at twice that (512)",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="decides every pair (0)")
    parser.add_argument("--nulls", type=fraction, default=0.1, metavar="SHARE", help="share of null edits (0.1)")
    parser.add_argument(
        "--operation", action="append", default=[], metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (one a core)")
    _bodies(parser.add_argument_group("rendered people"))
    _photographs(parser.add_argument_group("photographs"))
    _models(parser.add_argument_group("photographs by diffusion, and guided"))
    parser.set_defaults(run=_build)


def _bodies(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--count", type=positive, metavar="N", help="pairs wanted")
    group.add_argument(
        "--namespace", choices=IDENTITY_POOLS, help="whose people: a judge, and a screen, need their own (pairs)"
    )
    group.add_argument("--scene", choices=SCENES, help="around them: varied, or a plain backdrop, studio (varied)")


def _models(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--painter", metavar="MODEL", help="inpainting pipeline: folder or hub id")
    group.add_argument(
        "--controlnet", metavar="MODEL", help="its ControlNet, for skeleton; for guided as depth=ID,normal=ID,pose=ID"
    )
    group.add_argument("--device", metavar="NAME", help="where it runs (cpu)")
    group.add_argument("--steps", type=positive, metavar="N", help="its denoising steps (the family's own)")
    group.add_argument("--guidance", type=positive_real, metavar="X", help="its guidance scale (the family's own)")
    group.add_argument(
        "--screen",
        metavar="NAME",
        help="keep what looks worse to landmarks, or to vlm:MODEL@URL (OPENAI_API_KEY); for own, the folder of a "
        "learned judge: it chooses among several tries",
    )
    group.add_argument("--draws", type=positive, metavar="N", help="tries at each place for an own screen (4)")
    group.add_argument(
        "--whole", type=fraction, metavar="SHARE", help="share of own pairs whose whole person is drawn anew (0)"
    )
    group.add_argument(
        "--perceptual", metavar="lpips:TRUNK[,HEADS]", help="weights for the paper's LPIPS gates (SSIM alone)"
    )


def _photographs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--degrade",
        type=_names,
        metavar="NAMES",
        help="ways to break a part, with commas: warp, remove, graft on the CPU (these three), repaint, skeleton by a "
        "diffusion model; guided alone paints rendered people, and own lets the model draw a part of them (mini)",
    )
    group.add_argument("--per-image", type=positive, metavar="N", help="pairs tried for each photograph (4)")
    group.add_argument("--landmarker", metavar="NAME", help="what finds the parts (mediapipe)")
    group.add_argument("--engine", choices=("pool", "ray"), help="processes of this machine, or Ray Data (pool)")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


_ONLY_BODIES = ("count", "namespace", "scene")
_ONLY_PHOTOGRAPHS = ("per_image", "landmarker", "engine")
_NOT_OWN = ("controlnet", "perceptual", "operation", "size")
_MODELS = ("painter", "controlnet", "device", "steps", "guidance", "screen", "perceptual")


def _build(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.rendered import pair_stats

    rendered, guided, own = arguments.source == BODIES, arguments.degrade == (GUIDED,), arguments.degrade == (OWN,)
    for name in {GUIDED, OWN}.intersection(arguments.degrade or ()):
        if not rendered or len(arguments.degrade) > 1:
            raise InputError(f"{name} paints rendered people: give it alone in --degrade, without --source")
    if not own and (arguments.draws or arguments.whole):
        raise InputError("--draws and --whole are for --degrade own; leave them out")
    refused = _ONLY_BODIES
    if rendered:
        refused = _ONLY_PHOTOGRAPHS if guided else (*_ONLY_PHOTOGRAPHS, *(_NOT_OWN if own else ("degrade", *_MODELS)))
    strangers = [name for name in refused if getattr(arguments, name)]
    if strangers:
        flags = ", ".join("--" + name.replace("_", "-") for name in strangers)
        if own:
            raise InputError(f"{flags} say nothing to --degrade own; leave them out")
        kind = "photographs" if rendered else "rendered people"
        raise InputError(f"{flags} belong to {kind}, and --source is {arguments.source}; leave them out")
    (_own if own else _guided if guided else _rendered if rendered else _photographed)(arguments)
    print_lines(pair_stats(arguments.out))


def _common(arguments: argparse.Namespace, kind: str) -> dict[str, object]:
    return {
        "size": arguments.size or SIZE[kind],
        "seed": arguments.seed,
        "null_share": arguments.nulls,
        "operations": arguments.operation,
        "workers": arguments.workers or os.cpu_count() or 1,
    }


def _rendered(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.rendered import build_pairs

    if not arguments.count:
        raise InputError("rendered people want a number of pairs: add --count N")
    build_pairs(
        arguments.out,
        count=arguments.count,
        namespace=arguments.namespace or "pairs",
        scene=arguments.scene or SCENES[0],
        **_common(arguments, "bodies"),  # type: ignore[arg-type]
    )


def _own(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.on_policy import build_own_pairs

    if not arguments.count:
        raise InputError("own mistakes want a number of pairs: add --count N")
    names = ("steps", "guidance", "device", "namespace", "scene", "screen", "draws", "whole")
    asked = {name: getattr(arguments, name) for name in names}
    build_own_pairs(
        arguments.out,
        count=arguments.count,
        model=arguments.painter or "mini",
        seed=arguments.seed,
        workers=arguments.workers or os.cpu_count() or 1,
        **{name: value for name, value in asked.items() if value is not None},
    )


def _guided(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.controlnet import build_guided_pairs

    if arguments.scene:
        raise InputError("--scene is for rendered people without a painter; guided paints the varied scene")
    painting = _painting(arguments)
    if not arguments.count or painting is None:
        raise InputError(
            "guided pairs want a number of pairs and a model: add --count N --painter MODEL --controlnet ID"
        )
    build_guided_pairs(
        arguments.out,
        count=arguments.count,
        painting=painting,
        size=arguments.size or SIZE["guided"],
        seed=arguments.seed,
        namespace=arguments.namespace or "pairs",
        null_share=arguments.nulls,
        operations=arguments.operation,
        screening=_screening(arguments),
        perceptual=arguments.perceptual or "",
    )


def _photographed(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.photos import build_photo_pairs

    build_photo_pairs(
        arguments.out,
        source=Path(arguments.source),
        degrade=arguments.degrade or ("warp", "remove", "graft"),
        per_image=arguments.per_image or 4,
        landmarker=arguments.landmarker or "mediapipe",
        painting=_painting(arguments),
        screening=_screening(arguments),
        perceptual=arguments.perceptual or "",
        engine=arguments.engine or "pool",
        **_common(arguments, "photographs"),  # type: ignore[arg-type]
    )


def _painting(arguments: argparse.Namespace) -> "Painting | None":
    """The diffusion model asked for, or None."""
    from asap.workflows.pairs.inpainting import DIFFUSION, Painting

    kinds = [name for name in arguments.degrade or () if name in (*DIFFUSION, GUIDED)]
    if not arguments.painter:
        return None
    if len(kinds) != 1:
        raise InputError(
            f"--painter wants one of {', '.join(DIFFUSION)} in --degrade, not {', '.join(kinds) or 'none'}"
        )
    given = {name: getattr(arguments, name) for name in ("controlnet", "device", "steps", "guidance")}
    return Painting(kind=kinds[0], model=arguments.painter, **{k: v for k, v in given.items() if v})


def _screening(arguments: argparse.Namespace) -> "Screening | None":
    """The screen asked for, or None."""
    from asap.workflows.pairs.filters import Screening

    return Screening.read(arguments.screen) if arguments.screen else None
