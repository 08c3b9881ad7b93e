"""The names of charsets that a request may use, in its headers or in the parts of its body."""

import codecs
import encodings
import pkgutil
from encodings.aliases import aliases

# Python's notations for identifiers and host names, and the codec that always fails. As an encoding of a query or a
# form they raise errors that Django does not expect.
_NOT_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})

_NAMES = frozenset({*aliases, *aliases.values(), *(module.name for module in pkgutil.iter_modules(encodings.__path__))})


def is_charset(name: str) -> bool:
    """Return whether text can be sent in an encoding of this name; many of Python's codecs have other purposes."""
    try:
        # Unlike codecs.lookup, str.encode refuses those that are not of text, such as zlib.
        "".encode(name)
        return codecs.lookup(name).name not in _NOT_CHARSETS
    except (LookupError, ValueError):
        return False


def bound_searches() -> None:
    """Let this process look only for codecs that Python has.

    Python remembers for ever each name for which it has none, and requests name as many as they like: `charset=…`,
    `filename*=…`.
    """
    codecs.unregister(encodings.search_function)
    codecs.register(_search)


def _search(name: str) -> codecs.CodecInfo | None:
    return encodings.search_function(name) if name.replace("-", "_").replace(" ", "_") in _NAMES else None
