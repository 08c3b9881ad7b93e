"""Static files below whatever prefix the request came in under."""

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix


class PrefixedStaticFilesStorage(StaticFilesStorage):
    """For STORAGES["staticfiles"], with a STATIC_URL that begins with a slash.

    A relative STATIC_URL promises the same, but keeps the prefix of whoever asks first: the process at its start, to
    which there is none. Here each request has its own, so that one process serves with and without a gateway.
    """

    def url(self, name: str | None) -> str:
        return get_script_prefix().removesuffix("/") + super().url(name)
