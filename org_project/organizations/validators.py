"""Validators for the fields of an organization, used by the model, the API and the import."""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

NAME_LENGTH = 200
EMAIL_LENGTH = 254
PHONE_LENGTH = 50

# Control characters (NUL, which PostgreSQL can't store, and line ends), lone surrogates, line and paragraph separators.
_NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})

# E.164 as people write it: +44 (0)20 7946-0018 ext. 12
_PHONE = re.compile(r"\+?[0-9 ()\-]+(?: ?(?:ext\.?|x) ?[0-9]{1,8})?", re.IGNORECASE)
_MIN_DIGITS, _MAX_DIGITS = 3, 15


def validate_one_line(value: str) -> None:
    """Allow one line of text that every part of the system can store."""
    if not value.isprintable() and any(unicodedata.category(character) in _NOT_IN_A_LINE for character in value):
        raise ValidationError(_("Line ends and control characters are not allowed."), code="not_one_line")


def validate_phone(value: str) -> None:
    """Allow 3 to 15 digits, with optional spaces, hyphens, parentheses, a leading plus and an extension."""
    number = re.split("[ex]", value, maxsplit=1, flags=re.IGNORECASE)[0]
    digits = sum(character in "0123456789" for character in number)
    if not _PHONE.fullmatch(value) or not _MIN_DIGITS <= digits <= _MAX_DIGITS:
        raise ValidationError(
            _(
                "Enter a phone number of 3 to 15 digits; spaces, hyphens, parentheses, a leading + and an extension "
                "(ext. 12) are allowed."
            ),
            code="phone",
        )
