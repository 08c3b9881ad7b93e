"""What the OpenAPI document says beyond what drf-spectacular reads in the views."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from licenses.api.serializers import LicenseSerializer
from organization_lookup.client import CAUSES
from service_kit.auth import authentication as _bearer  # noqa: F401 - found by drf-spectacular, once imported
from service_kit.openapi import OF_A_BODY, OF_EVERY_REQUEST, PROBLEMS

MEDIA_TYPES = ("application/json", "application/hal+json")
PROBLEM = "application/problem+json"

_REQUEST_HEADERS = [
    OpenApiParameter(
        "Organization-Min-Version",
        OpenApiTypes.INT64,
        OpenApiParameter.HEADER,
        description="Read your writes: the organization is never answered in a version older than this one.",
    ),
    OpenApiParameter(
        "Cache-Control",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="How fresh the organization has to be: no-cache, max-age=SECONDS, min-fresh=SECONDS.",
    ),
    OpenApiParameter(
        "Accept-Language", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The language of messages: en or ko."
    ),
]
_RESPONSE_HEADERS = {
    "Organization-Cache": (
        OpenApiTypes.STR,
        "hit, miss, stale, bypass or unavailable: how the organization was found.",
    ),
    "Organization-Version": (OpenApiTypes.INT64, "The organization's version."),
    "Organization-Unversioned": (
        OpenApiTypes.STR,
        "?1 where its service gives no versions: nothing but the time since it was asked bounds how stale it can be.",
    ),
    "Organization-Fresh-At": (
        OpenApiTypes.DATETIME,
        "The organization is proven to have been current at this instant.",
    ),
    "Organization-Absent": (OpenApiTypes.STR, "?1 where there is no such organization; its fields are null then."),
    "ETag": (OpenApiTypes.STR, "For If-Match and If-None-Match; a list has none."),
    "Age": (OpenApiTypes.INT, "Seconds since Organization-Fresh-At."),
}
_IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag that was read: no update is lost."
)
_IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag at hand: 304 if it is current."
)
_IF_NONE_MATCH_OF_A_WRITE = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Write only if none of these ETags is the current one; `*` is any.",
)


def _problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The responses for these statuses, and for those that every request may end with."""
    return {
        (status, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, description=PROBLEMS[status])
        for status in (*statuses, *OF_EVERY_REQUEST)
    }


_UNAVAILABLE = {
    (503, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT,
        description=(
            "Nothing is known of the organization, and its service can't be asked. The problem's type says why: "
            f"{', '.join(f'/problems/{cause}' for cause in CAUSES)}; /problems/unavailable names another server."
        ),
    )
}


def _response_headers(*statuses: int) -> list[OpenApiParameter]:
    return [
        OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, response=list(statuses))
        for name, (kind, description) in _RESPONSE_HEADERS.items()
    ]


def _licenses(status: int, *, many: bool = False) -> dict[tuple[int, str], Any]:
    return {(status, media_type): LicenseSerializer(many=many) for media_type in MEDIA_TYPES}


class SessionIfAnyScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """Found by drf-spectacular through its target."""

    target_class = "licenses.api.authentication.SessionIfAny"


View = Callable[..., Any]

list_licenses: Callable[[View], View] = extend_schema(
    operation_id="listLicenses",
    parameters=[*_REQUEST_HEADERS, *_response_headers(200)],
    responses={
        **_licenses(200, many=True),
        (200, "application/hal+json"): OpenApiResponse(
            OpenApiTypes.OBJECT, description="`count`, the licenses in `_embedded.licenses`, and `_links`."
        ),
        **_problems(404, 412, 413),
        **_UNAVAILABLE,
    },
)
create_license: Callable[[View], View] = extend_schema(
    operation_id="createLicense",
    parameters=[_IF_MATCH, _IF_NONE_MATCH_OF_A_WRITE, *_REQUEST_HEADERS, *_response_headers(201)],
    responses={**_licenses(201), **_problems(404, 412, *OF_A_BODY), **_UNAVAILABLE},
)
get_license: Callable[[View], View] = extend_schema(
    operation_id="getLicense",
    parameters=[_IF_MATCH, _IF_NONE_MATCH, *_REQUEST_HEADERS, *_response_headers(200)],
    responses={
        **_licenses(200),
        304: OpenApiResponse(description="Not changed since If-None-Match."),
        **_problems(404, 412, 413),
        **_UNAVAILABLE,
    },
)
update_license: Callable[[View], View] = extend_schema(
    operation_id="updateLicense",
    parameters=[_IF_MATCH, _IF_NONE_MATCH_OF_A_WRITE, *_response_headers(200)],
    responses={**_licenses(200), **_problems(404, 412, *OF_A_BODY)},
)
patch_license: Callable[[View], View] = extend_schema(
    operation_id="patchLicense",
    parameters=[_IF_MATCH, _IF_NONE_MATCH_OF_A_WRITE, *_response_headers(200)],
    responses={**_licenses(200), **_problems(404, 412, *OF_A_BODY)},
)
delete_license: Callable[[View], View] = extend_schema(
    operation_id="deleteLicense",
    parameters=[_IF_MATCH, _IF_NONE_MATCH_OF_A_WRITE],
    responses={204: OpenApiResponse(description="Deleted."), **_problems(404, 412, *OF_A_BODY)},
)
