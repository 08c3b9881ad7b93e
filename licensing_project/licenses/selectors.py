"""Reads of licenses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet

from licenses.models import License

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LicenseRow:
    """What is read of a license to answer it."""

    license_id: UUID
    organization_id: UUID
    description: str
    product_name: str
    license_type: str
    comment: str
    version: int


def repeatable(read: Callable[P, T]) -> Callable[P, T]:
    """For a read of its own, outside of a transaction: it is tried first and repeated if the connection was dead.

    That spares the `SELECT 1` with which Django makes sure, once a request, that the server has not been restarted.
    """

    @wraps(read)
    def once_or_twice(*args: P.args, **kwargs: P.kwargs) -> T:
        if connection.in_atomic_block:
            return read(*args, **kwargs)
        connection.health_check_done = True  # type: ignore[attr-defined] # the stubs lack it
        try:
            return read(*args, **kwargs)
        except (OperationalError, InterfaceError):
            if connection.connection is None or not connection.connection.closed:
                raise
            connection.close()
            return read(*args, **kwargs)

    return once_or_twice


_ROW = """
    SELECT description, product_name, license_type, comment, version
    FROM licenses_license WHERE license_id = %s AND organization_id = %s
"""


@repeatable
def read_license(*, organization_id: UUID, license_id: UUID) -> LicenseRow | None:
    """The hot read: one indexed statement, without the ORM's share of the time."""
    with connection.cursor() as cursor:
        cursor.execute(_ROW, (license_id, organization_id))
        row = cursor.fetchone()
    return None if row is None else LicenseRow(license_id, organization_id, *row)


def licenses_of(organization_id: UUID) -> QuerySet[License]:
    return License.objects.filter(organization_id=organization_id).order_by("product_name", "license_id")
