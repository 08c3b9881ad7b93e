"""`/traces`: this service's own part of a trace, for the services that put the parts together. JSON only."""

import re
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from event_stream.trace.parts import Span
from event_stream.trace.selectors import MAX_SPANS, changes_of, own_part
from event_stream.trace.serializers import ChangeSerializer, PartSerializer
from event_stream.trace.timeline import ONE_BY_ONE
from event_stream.user_context import is_acceptable

_SPAN = re.compile(r"(\S{1,249}):(\d{1,9}):(\d{1,18})-(\d{1,18})", re.ASCII)
_CHANGE = re.compile(r"(\S{1,256}):(\d{1,18})", re.ASCII)
_PROBLEM = "application/problem+json"
_ERRORS = {
    (status, _PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, description=text)
    for status, text in {
        400: "A parameter is not valid.",
        401: "Known callers only, and this one has no token, or one that is not accepted.",
        403: "The caller's roles do not allow this.",
        404: "Nothing can have this correlation id.",
        406: "None of the media types of `Accept` can be answered.",
        413: "The query has more parameters than the service accepts.",
        415: "The charset of `Content-Type` is not known.",
        503: "A server that is needed is away; `Retry-After` says when to try again.",
    }.items()
}


class ChangesSerializer(serializers.Serializer[Any]):
    changes = ChangeSerializer(many=True)


class TraceView(APIView):
    """This service's part of one trace."""

    renderer_classes = [JSONRenderer]
    http_method_names = ["get", "head", "options"]

    @extend_schema(
        operation_id="trace_retrieve",
        parameters=[
            OpenApiParameter("correlation_id", OpenApiTypes.STR, OpenApiParameter.PATH),
            OpenApiParameter(
                "span",
                OpenApiTypes.STR,
                many=True,
                description="Where messages of the change lie: `destination:partition:first-last`.",
            ),
            OpenApiParameter(
                "change",
                OpenApiTypes.STR,
                many=True,
                description="What the change made: `key:version`. The first fill of each is looked for.",
            ),
        ],
        responses={200: PartSerializer, **_ERRORS},
    )
    def get(self, request: Request, correlation_id: str) -> Response:
        """What this service has recorded of a change. An unknown id has an empty part."""
        if not is_acceptable(correlation_id):
            raise NotFound("A correlation id has 1 to 128 letters, digits and . _ : @ / + = -")
        spans = [_span(text) for text in _values(request, "span", MAX_SPANS)]
        versions = [_version(text) for text in _values(request, "change", ONE_BY_ONE)]
        return Response(PartSerializer(own_part(correlation_id, spans=spans, versions=versions)).data)


class ChangesView(APIView):
    """The changes of a key that this service has published."""

    renderer_classes = [JSONRenderer]
    http_method_names = ["get", "head", "options"]

    @extend_schema(
        operation_id="trace_search",
        parameters=[
            OpenApiParameter("key", OpenApiTypes.STR, required=True, description="The key of the messages."),
            OpenApiParameter("version", OpenApiTypes.INT64, description="Only the change that made this version."),
        ],
        responses={200: ChangesSerializer, **_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The latest changes of a key, the newest first, each with its correlation id."""
        key, version = request.query_params.get("key", ""), request.query_params.get("version")
        if not is_acceptable(key):
            raise ValidationError({"key": "It should be 1 to 128 letters, digits and . _ : @ / + = -"})
        if version is not None and not re.fullmatch(r"\d{1,18}", version, re.ASCII):
            raise ValidationError({"version": "It should be a whole number of up to 18 digits."})
        changes = changes_of(key, version=None if version is None else int(version))
        return Response(ChangesSerializer({"changes": changes}).data)


def _values(request: Request, name: str, most: int) -> list[str]:
    values = request.query_params.getlist(name)
    if len(values) > most:
        raise ValidationError({name: f"There should be {most} at most."})
    return values


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValidationError({"span": "It should be destination:partition:first-last."})
    return Span(match[1], int(match[2]), int(match[3]), int(match[4]))


def _version(text: str) -> tuple[str, int]:
    match = _CHANGE.fullmatch(text)
    if match is None:
        raise ValidationError({"change": "It should be key:version."})
    return match[1], int(match[2])
