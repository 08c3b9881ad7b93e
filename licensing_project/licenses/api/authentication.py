"""Authentication of callers."""

from typing import Any

from django.conf import settings
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request


class SessionIfAny(SessionAuthentication):
    """Django's session login, for those who bring its cookie; who brings none has no session to be looked for."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        return super().authenticate(request)
