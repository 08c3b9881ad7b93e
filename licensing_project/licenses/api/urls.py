"""Each URL with and without a slash at its end, and no redirect between the two: one would lose a body."""

from django.urls import path

from licenses.api.views import Licenses, SingleLicense
from service_kit import urls

urls.register()

_COLLECTION = "v1/organization/<any_case_uuid:organization_id>/license"
_SINGLE = f"{_COLLECTION}/<any_case_uuid:license_id>"

# One view for both forms: the browsable API takes two for two pages, and shows the way to each.
_licenses, _license = Licenses.as_view(), SingleLicense.as_view()

urlpatterns = [
    path(_SINGLE, _license, name="license"),
    path(_COLLECTION, _licenses, name="licenses"),
    path(f"{_SINGLE}/", _license, name="license-with-slash"),
    path(f"{_COLLECTION}/", _licenses, name="licenses-with-slash"),
]
