"""Files of a local page, and the JSON objects that it posts."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

__all__ = ["PageFiles", "read_object"]

ICON = "icon.svg"
"""Every page has the same icon; it belongs to this package."""


class PageFiles:
    """The template, style and script in the folder ``page`` of a package."""

    def __init__(self, package: str, media_types: Mapping[str, str]) -> None:
        """``media_types`` lists the files that a browser may request, apart from the icon."""
        self._folder = resources.files(package) / "page"
        self._media_types = media_types

    def route(self) -> Route:
        """``/static/{name}``; 404 for a name that is not listed."""
        return Route("/static/{name}", self._static)

    def render(self, name: str, **values: object) -> Response:
        """The page from the Jinja template ``name``; values are escaped, and a missing one is an error."""
        return HTMLResponse(_template((self._folder / name).read_text("utf-8")).render(**values))

    def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == ICON:
            return Response((resources.files("asap.web") / ICON).read_bytes(), media_type="image/svg+xml")
        if name not in self._media_types:
            raise HTTPException(404)
        return Response((self._folder / name).read_bytes(), media_type=self._media_types[name])


@cache
def _template(text: str) -> Any:  # noqa: ANN401  (a compiled template)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


async def read_object(request: Request, names: set[str]) -> dict[str, Any]:
    """The body of a request: a JSON object with exactly the keys ``names``.

    Raises:
        HTTPException: 415 for another content type, 422 for another body.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or set(value) != names:
        raise HTTPException(422, f"want an object with {', '.join(sorted(names))}")
    return value
