"""Each URL with and without a slash at its end, and no redirect between the two: one would lose a body."""

from uuid import UUID

from django.urls import path, register_converter

from licenses.api.views import Licenses, SingleLicense


class AnyCaseUUID:
    """A UUID in either case; Django's own converter takes lower case only, where RFC 9562 has readers take both."""

    regex = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> UUID:
        return UUID(value)

    def to_url(self, value: UUID | str) -> str:
        return str(value)


register_converter(AnyCaseUUID, "any-case-uuid")

_COLLECTION = "v1/organization/<any-case-uuid:organization_id>/license"
_SINGLE = f"{_COLLECTION}/<any-case-uuid:license_id>"

urlpatterns = [
    path(_SINGLE, SingleLicense.as_view(), name="license"),
    path(_COLLECTION, Licenses.as_view(), name="licenses"),
    path(f"{_SINGLE}/", SingleLicense.as_view(), name="license-with-slash"),
    path(f"{_COLLECTION}/", Licenses.as_view(), name="licenses-with-slash"),
]
