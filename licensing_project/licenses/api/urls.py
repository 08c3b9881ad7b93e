"""Each URL with and without a slash at its end, and no redirect between the two: one would lose a body."""

from django.urls import path

from event_stream.web import paths
from licenses.api.views import Licenses, SingleLicense

paths.register()

_COLLECTION = "v1/organization/<any_case_uuid:organization_id>/license"
_SINGLE = f"{_COLLECTION}/<any_case_uuid:license_id>"

urlpatterns = [
    path(_SINGLE, SingleLicense.as_view(), name="license"),
    path(_COLLECTION, Licenses.as_view(), name="licenses"),
    path(f"{_SINGLE}/", SingleLicense.as_view(), name="license-with-slash"),
    path(f"{_COLLECTION}/", Licenses.as_view(), name="licenses-with-slash"),
]
