"""A service of three views, with everything of service_kit around it. The urlconf of the tests beside it."""

import json
import logging
import os
from typing import Any

from django.core.exceptions import DisallowedHost, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, serializers
from rest_framework.authentication import BasicAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from event_stream import user_context
from event_stream.errors import UnavailableError
from service_kit.conditional_requests import check_preconditions, etag, not_modified
from service_kit.pagination import Pages
from service_kit.problem_details import Problem, unavailable
from service_kit.rest_framework import JSONParser

logger = logging.getLogger("tests.web_demo")


class HalRenderer(JSONRenderer):
    media_type = "application/hal+json"
    format = "hal"


class Contact(serializers.Serializer[Any]):
    email = serializers.EmailField()


class Company(serializers.Serializer[Any]):
    contactName = serializers.CharField(max_length=5)  # noqa: N815 - as it is on the wire
    contacts = Contact(many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["contactName"] == "Nobod":
            raise serializers.ValidationError("Somebody is wanted.")
        return attrs


def _bad_utf8() -> None:
    b"\xff".decode()


def _bad_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::smallint", [99999])


def _bug() -> None:
    logger.info("about.to.fail")
    raise ZeroDivisionError("a bug, and Bearer abcdefgh12345 in its text")


RAISED: dict[str, BaseException] = {
    "http404": Http404("No Company matches the given query."),
    "suspicious": SuspiciousOperation("secret detail"),
    "too-big": RequestDataTooBig("secret detail"),
    "host": DisallowedHost("secret detail"),
    "django-validation": DjangoValidationError({"name": ["Too short."], "__all__": ["Not both."]}),
    "unauthenticated": exceptions.NotAuthenticated(),
    "throttled": exceptions.Throttled(wait=2.1),
    "denied": exceptions.PermissionDenied(),
    "conflict": Problem(
        409, detail=_("Taken."), type="/problems/taken", extra={"by": "somebody"}, headers={"X-More": "yes"}
    ),
    "teapot": Problem(418),
    "unavailable": unavailable("Away.", retry_after_s=0.2),
    "layer-unavailable": UnavailableError("password=hunter2 at redis://u:hunter2@host"),
}
CALLED = {"utf8": _bad_utf8, "sql": _bad_sql, "bug": _bug}


def fail(kind: str) -> None:
    if kind in RAISED:
        raise RAISED[kind]
    CALLED[kind]()


class Failing(APIView):
    renderer_classes = [JSONRenderer, HalRenderer, BrowsableAPIRenderer]
    authentication_classes = [BasicAuthentication]

    def get(self, request: Request, kind: str) -> Response:
        fail(kind)
        return Response({})


class Companies(APIView):
    parser_classes = [JSONParser, FormParser, MultiPartParser]
    renderer_classes = [JSONRenderer, HalRenderer, BrowsableAPIRenderer]
    serializer_class = Company

    def get_serializer(self, *args: Any, **kwargs: Any) -> Company:
        """The browsable API draws its form with it."""
        return Company(*args, **kwargs)

    def get(self, request: Request) -> Response:
        return Response({})

    def post(self, request: Request) -> Response:
        company = Company(data=request.data)
        company.is_valid(raise_exception=True)
        return Response(company.validated_data, status=201)


class Versioned(APIView):
    """Version 17 of something; version 0 is what isn't there."""

    renderer_classes = [JSONRenderer]
    parser_classes = [JSONParser]

    def get(self, request: Request, version: int) -> HttpResponse:
        if not_modified(request, version):
            return HttpResponse(status=304)
        return Response({}, headers={"ETag": etag(version)})

    def put(self, request: Request, version: int) -> Response:
        check_preconditions(request, version or None, required="required" in request.query_params)
        return Response({})


class Number(serializers.BaseSerializer[Any]):
    def to_representation(self, instance: int) -> int:
        return instance


class Numbers(ListAPIView[Any]):
    renderer_classes = [JSONRenderer]
    pagination_class = Pages
    serializer_class = Number
    filter_backends = []

    def get_queryset(self) -> Any:
        return range(1, 451)


def plain(request: HttpRequest, kind: str) -> HttpResponse:
    fail(kind)
    return HttpResponse()


def context(request: HttpRequest) -> HttpResponse:
    """What the view sees of the user context, and the link it would give out."""
    current = user_context.current()
    logger.info("context.seen", extra={"url": request.build_absolute_uri()})
    assert current is not None
    seen = {**current.http_headers(), "url": request.build_absolute_uri()}
    return HttpResponse(json.dumps(seen), content_type="application/json")


handler400 = "service_kit.problem_details.bad_request"
handler403 = "service_kit.problem_details.forbidden"
handler404 = "service_kit.problem_details.not_found"
handler500 = "service_kit.problem_details.server_error"

urlpatterns = [
    path("", include("service_kit.health")),
    path("", include("service_kit.metrics")),
    path("context", context),
    path("process", lambda _request: HttpResponse(str(os.getpid()))),
    path("large", lambda _request: HttpResponse(b" " * 20_000_000)),
    path("plain/<kind>", plain),
    path("api/<kind>", Failing.as_view()),
    path("companies", Companies.as_view()),
    path("versions/<int:version>", Versioned.as_view()),
    path("numbers", Numbers.as_view()),
]
