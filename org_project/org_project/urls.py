"""The URLs of the organization service."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

handler400 = "service_kit.problem_details.bad_request"
handler403 = "service_kit.problem_details.forbidden"
handler404 = "service_kit.problem_details.not_found"
handler500 = "service_kit.problem_details.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs"), name="home"),
    path("", include("organizations.api.urls")),
    path("", include("service_kit.health")),
    path("", include("event_stream.trace.urls")),
    *([path("", include("service_kit.metrics"))] if settings.METRICS else []),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    # Its OPTIONS would be an error: a template is looked for.
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(url_name="openapi", http_method_names=["get", "head"]),
        name="docs",
    ),
    path("admin/", admin.site.urls),
    # The login of the browsable API, for users without access to the admin.
    path("api-auth/", include("rest_framework.urls")),
    # Browsers request it for each page; the empty answer avoids an error in their console.
    path("favicon.ico", lambda _request: HttpResponse(status=204)),
]
