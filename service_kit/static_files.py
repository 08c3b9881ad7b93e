"""Storage for static files whose URLs have the prefix of the current request."""

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix


class PrefixedStaticFilesStorage(StaticFilesStorage):
    """For STORAGES["staticfiles"], with a STATIC_URL that begins with a slash.

    Django computes the prefix of a relative STATIC_URL only once, at the start of the process, when there is none. This
    class uses the prefix of each request, so that one process serves with and without a gateway.
    """

    def url(self, name: str | None) -> str:
        return get_script_prefix().removesuffix("/") + super().url(name)
