"""`path("", include("event_stream.trace.urls"))`. For the other services; a gateway need not pass it on."""

from django.urls import path

from event_stream.trace.views import ChangesView, TraceView

urlpatterns = [
    path("traces", ChangesView.as_view(), name="traces"),
    path("traces/<path:correlation_id>", TraceView.as_view(), name="trace"),
]
