"""Sample organizations: real ones with invented contacts, and any number of generated ones.

Each id is derived from a name, so that the licensing service's sample data can refer to it, and a second load adds
nothing.
"""

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

from organizations.models import Organization

_URL = "https://example.org/organizations/"
_FILE = Path(__file__).parent / "organizations.json"

_PLACES = (
    "Northern",
    "Southern",
    "Coastal",
    "Alpine",
    "Riverside",
    "Central",
    "Pacific",
    "Baltic",
    "Lakeland",
    "Delta",
)
_KINDS = ("Institute of", "Centre for", "Laboratory of", "Society for", "Academy of", "Agency for", "College of")
_FIELDS = ("Hydrology", "Optics", "Robotics", "Botany", "Acoustics", "Geodesy", "Linguistics", "Metrology", "Astronomy")


def sample_id(slug: str) -> uuid.UUID:
    """Return the id of the sample organization `slug` ("nasa", "esa", ...)."""
    return uuid.uuid5(uuid.NAMESPACE_URL, _URL + slug)


def real() -> Iterator[Organization]:
    """Yield well-known organizations. Their contacts are invented, with addresses and numbers that nobody uses."""
    for slug, name in json.loads(_FILE.read_text(encoding="utf-8")).items():
        yield _organization(slug, name, random.Random(slug))  # noqa: S311 - not for secrets


def generated(count: int, *, seed: int) -> Iterator[Organization]:
    """Yield `count` generated organizations. The same seed always yields the same sequence."""
    for number in range(1, count + 1):
        slug = f"generated/{seed}/{number}"
        chance = random.Random(slug)  # noqa: S311 - not for secrets
        name = f"{chance.choice(_PLACES)} {chance.choice(_KINDS)} {chance.choice(_FIELDS)} {number}"
        yield _organization(slug, name, chance)


def _organization(slug: str, name: str, chance: random.Random) -> Organization:
    return Organization(
        pk=sample_id(slug),
        name=name,
        contact_name=chance.choice(("Registry Office", "Information Desk", "Licensing Office", "Press Office")),
        contact_email=f"{slug.replace('/', '-')}@example.org",
        # Numbers that are set aside for fiction.
        contact_phone=f"+1 202 555 01{chance.randrange(100):02d}",
    )
