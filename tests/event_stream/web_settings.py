"""The settings of web_demo.py, apart from it: they have to be read first."""

from pytest_django import Settings

MIDDLEWARE = [
    "service_kit.middleware.UserContextMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
]
REST_FRAMEWORK = {"EXCEPTION_HANDLER": "service_kit.problem_details.exception_handler", "UNAUTHENTICATED_USER": None}
ROOT_URLCONF = "tests.event_stream.web_demo"


def apply(settings: Settings) -> None:
    """Make the Django of a test into the service of web_demo.py, until the end of the test."""
    settings.MIDDLEWARE = MIDDLEWARE
    settings.REST_FRAMEWORK = REST_FRAMEWORK
    settings.ROOT_URLCONF = ROOT_URLCONF
    # For translations and templates.
    settings.INSTALLED_APPS = ["service_kit", *settings.INSTALLED_APPS, "rest_framework"]
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
    settings.STATIC_URL = "/static/"
