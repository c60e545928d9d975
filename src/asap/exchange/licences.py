"""Names of licences: SPDX identifiers, identifiers of the Hugging Face Hub, and addresses of the texts.

Hub identifiers: "Licenses" in docs/hub/repositories-licenses.md of huggingface/hub-docs. Addresses: spdx.org/licenses.
"""

import re
from typing import Final

__all__ = ["hub_licence", "licence_url"]

SPDX: Final = (
    "Apache-2.0",
    "MIT",
    "BSD-3-Clause",
    "CC0-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-NC-ND-4.0",
    "CDLA-Permissive-2.0",
    "ODC-By-1.0",
    "ODbL-1.0",
    "PDDL-1.0",
)
HUB: Final = {name.lower(): name.lower() for name in SPDX} | {
    "odc-by-1.0": "odc-by",
    "odbl-1.0": "odbl",
    "pddl-1.0": "pddl",
}


def licence_url(licence: str) -> str:
    """Address of the text of an SPDX licence in the list above; empty for other names."""
    known = {name.lower(): name for name in SPDX}
    name = known.get(licence.strip().lower())
    return f"https://spdx.org/licenses/{name}.html" if name else ""


def hub_licence(licence: str) -> dict[str, str]:
    """The entries of the header of a card: ``license``, and ``license_name`` if the Hub has no identifier."""
    if not licence:
        return {"license": "unknown"}
    known = HUB.get(licence.strip().lower())
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")
    return {"license": known} if known else {"license": "other", "license_name": name}
