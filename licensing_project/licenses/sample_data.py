"""Sample licenses with ids that never change, of the organizations that the organization service's sample data has."""

import random
from collections.abc import Iterator
from uuid import NAMESPACE_URL, UUID, uuid5

from licenses.models import License

ORGANIZATIONS = ("nasa", "esa", "jaxa", "mit", "kaist", "ietf", "w3c", "iso", "cern", "snu")

_LICENSES = (
    ("Ostock", "complete", "Inventory of software assets, all modules", "Renewed every January"),
    ("Ostock Mobile", "per-seat", "Inventory on the road, 50 seats", ""),
)
_PRODUCTS = ("Ostock", "Ostock Mobile", "Ostock Audit", "Ostock Reports")
_TYPES = ("complete", "per-seat", "trial", "academic")


def organization_id(slug: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"https://example.org/organizations/{slug}")


def license_id(slug: str, number: int) -> UUID:
    """Numbers count from 1 within an organization."""
    return uuid5(NAMESPACE_URL, f"https://example.org/licenses/{slug}-{number}")


def sample_licenses() -> list[License]:
    """Two for each organization."""
    return [
        License(
            license_id=license_id(slug, number),
            organization_id=organization_id(slug),
            product_name=product,
            license_type=kind,
            description=description,
            comment=comment,
        )
        for slug in ORGANIZATIONS
        for number, (product, kind, description, comment) in enumerate(_LICENSES, 1)
    ]


def generated_licenses(amount: int) -> Iterator[License]:
    """More of them, the same ones every time, dealt out to the organizations in turn."""
    dice = random.Random(10)  # noqa: S311 - sample data, the same every time
    for index in range(amount):
        slug = ORGANIZATIONS[index % len(ORGANIZATIONS)]
        number = len(_LICENSES) + 1 + index // len(ORGANIZATIONS)
        yield License(
            license_id=license_id(slug, number),
            organization_id=organization_id(slug),
            product_name=dice.choice(_PRODUCTS),
            license_type=dice.choice(_TYPES),
            description=f"Generated license {number} of {slug}",
        )
