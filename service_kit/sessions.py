"""Sessions in the database (`SESSION_ENGINE`), without a question about a cookie that can be no session's."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's; it would ask the database even for a key with a NUL, which PostgreSQL refuses."""

    def _validate_session_key(self, key: str | None) -> bool:
        valid: bool = super()._validate_session_key(key)  # type: ignore[misc] # the stubs lack it
        return valid and key is not None and key.isascii() and key.isalnum()
