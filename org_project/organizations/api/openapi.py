"""Parts of the OpenAPI document that drf-spectacular can't derive from the code."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from event_stream.user_context import CORRELATION_ID
from service_kit.auth import authentication as _bearer  # noqa: F401 - found by drf-spectacular, once imported
from service_kit.openapi import OF_EVERY_REQUEST, PROBLEMS
from service_kit.problem_details import MEDIA_TYPE

VERSION_HEADER = "Organization-Version"

_FIELD_ERROR = inline_serializer(
    "FieldError",
    {
        "field": serializers.CharField(help_text="The path of the value as sent; empty for the body as a whole."),
        "message": serializers.CharField(),
    },
    many=True,
    required=False,
)
# RFC 9457. Inline, because a serializer has attributes of its own named `instance` and `errors`.
PROBLEM = inline_serializer(
    "Problem",
    {
        "type": serializers.CharField(help_text="A URI reference that tells the kind of problem."),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(),
        "instance": serializers.CharField(help_text="The path that was asked for."),
        "correlationId": serializers.CharField(),
        "errors": _FIELD_ERROR,
    },
)


def problem(description: str) -> OpenApiResponse:
    return OpenApiResponse(PROBLEM, description=description)


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the responses for these statuses and for those that every request may end with."""
    return {(status, MEDIA_TYPE): problem(PROBLEMS[status]) for status in (*statuses, *OF_EVERY_REQUEST)}


def _answer_header(name: str, statuses: list[int], description: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.HEADER, response=statuses, description=description)


ID = OpenApiParameter("organization_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
SENT = OpenApiParameter(
    CORRELATION_ID,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Follows the transaction through every service, message and log line. Made when absent.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Write only if this entity tag is the organization's current one; otherwise 412.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Answer 304 without a body if this entity tag is still the current one.",
)
IF_MATCH_OF_A_READ = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Answer only if this entity tag is the current one; otherwise 412.",
)
IF_NONE_MATCH_OF_A_WRITE = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Write only if none of these entity tags is the current one; `*` is any. Otherwise 412.",
)
SEARCH = OpenApiParameter(
    "search",
    OpenApiTypes.STR,
    description=(
        "Only organizations whose name, contact name or e-mail has every one of these words: 50 at most, and 500 "
        "characters."
    ),
)
TAGS = [
    _answer_header("ETag", [200, 201, 304], "The version in quotes, for `If-Match` and `If-None-Match`."),
    _answer_header(
        VERSION_HEADER,
        [200, 201, 204, 304, 404],
        "The version; it rises with every change, a deletion included. With a 404: that of the absence.",
    ),
]
OF_A_WRITE = [IF_MATCH, IF_NONE_MATCH_OF_A_WRITE, SENT, *TAGS]
"""What every write takes and answers with."""
LOCATION = _answer_header("Location", [201], "The URL of the new organization.")
