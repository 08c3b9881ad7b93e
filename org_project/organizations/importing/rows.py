"""From the values of a line to an organization, or the reason why they are none."""

import uuid
from typing import Any

from django.core.exceptions import ValidationError

from organizations.importing.reading import BadLine, Line
from organizations.models import Organization

_COLUMNS = {
    "name": "name",
    "contactName": "contact_name",
    "contactEmail": "contact_email",
    "contactPhone": "contact_phone",
}
_NAMES = {column: name for name, column in _COLUMNS.items()}


class Rows:
    """Makes organizations of lines. Remembers which line gave an id, about 150 bytes each: twice is a mistake."""

    def __init__(self) -> None:
        self._line_of: dict[uuid.UUID, int] = {}

    def organization(self, line: Line) -> Organization | BadLine:
        """A value that is left out, null or empty is empty, as in a PUT. Without an id it gets a new one."""
        try:
            values = {column: _text(name, line.values.get(name)) for name, column in _COLUMNS.items()}
            given = _text("id", line.values.get("id"))
            organization = Organization(**values, **({"pk": _id(given)} if given else {}))
            organization.clean_fields(exclude={"id", "version"})
        except ValidationError as error:
            return BadLine(line.number, _reason(error))
        if given:
            earlier = self._line_of.setdefault(organization.pk, line.number)
            if earlier != line.number:
                return BadLine(line.number, f"id: line {earlier} has the same")
        return organization


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValidationError({name: "it should be a text"})
    try:
        value.encode()
    except UnicodeEncodeError:
        # Bytes that could not be decoded, or half of a pair in a JSON escape.
        raise ValidationError({name: "it should be UTF-8"}) from None
    return value.strip()


def _id(value: str) -> uuid.UUID:
    try:
        return uuid.UUID(value)
    except ValueError:
        raise ValidationError({"id": "it should be a UUID"}) from None


def _reason(error: ValidationError) -> str:
    return "; ".join(
        f"{_NAMES.get(field, field)}: {' '.join(messages)}" for field, messages in error.message_dict.items()
    )
