"""The settings of web_demo.py, apart from it: they have to be read first."""

MIDDLEWARE = [
    "event_stream.web.middleware.UserContextMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
]
REST_FRAMEWORK = {"EXCEPTION_HANDLER": "event_stream.web.problem.exception_handler", "UNAUTHENTICATED_USER": None}
