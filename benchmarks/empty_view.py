"""A Django view that does nothing, without middleware: what is left is Django and gunicorn."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path


def empty(_request: HttpRequest) -> HttpResponse:
    # Without it gunicorn answers in chunks: Django leaves it to a middleware.
    return HttpResponse(b"{}", content_type="application/json", headers={"Content-Length": "2"})


urlpatterns = [re_path("", empty)]

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, MIDDLEWARE=[], LOGGING_CONFIG=None)

application = get_wsgi_application()
