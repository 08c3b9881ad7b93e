"""What the OpenAPI document says beyond what drf-spectacular reads in the views."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from licenses.api.serializers import LicenseSerializer
from organization_lookup.client import CAUSES
from service_kit.auth import authentication as _bearer  # noqa: F401 - found by drf-spectacular, once imported

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
    "Age": (OpenApiTypes.INT, "Seconds since Organization-Fresh-At."),
}
_IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag that was read: no update is lost."
)
_IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag at hand: 304 if it is current."
)
_NOT_VALID = {(400, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, description="The request is not valid.")}
_NOT_FOUND = {(404, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, description="There is no such thing.")}
_PRECONDITION = {(412, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, description="A precondition doesn't hold.")}
_REFUSED = {
    (401, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, description="Known callers only, and this one has no token, or one that is not accepted."
    ),
    (403, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, description="The caller's roles do not allow this."),
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
    responses={**_licenses(200, many=True), **_NOT_VALID, **_NOT_FOUND, **_REFUSED, **_PRECONDITION, **_UNAVAILABLE},
)
create_license: Callable[[View], View] = extend_schema(
    operation_id="createLicense",
    parameters=[*_REQUEST_HEADERS, *_response_headers(201)],
    responses={**_licenses(201), **_NOT_VALID, **_NOT_FOUND, **_REFUSED, **_PRECONDITION, **_UNAVAILABLE},
)
get_license: Callable[[View], View] = extend_schema(
    operation_id="getLicense",
    parameters=[_IF_NONE_MATCH, *_REQUEST_HEADERS, *_response_headers(200)],
    responses={
        **_licenses(200),
        304: OpenApiResponse(description="Not changed since If-None-Match."),
        **_NOT_VALID,
        **_NOT_FOUND,
        **_REFUSED,
        **_PRECONDITION,
        **_UNAVAILABLE,
    },
)
update_license: Callable[[View], View] = extend_schema(
    operation_id="updateLicense",
    parameters=[_IF_MATCH, *_response_headers(200)],
    responses={**_licenses(200), **_NOT_VALID, **_NOT_FOUND, **_REFUSED, **_PRECONDITION},
)
patch_license: Callable[[View], View] = extend_schema(
    operation_id="patchLicense",
    parameters=[_IF_MATCH, *_response_headers(200)],
    responses={**_licenses(200), **_NOT_VALID, **_NOT_FOUND, **_REFUSED, **_PRECONDITION},
)
delete_license: Callable[[View], View] = extend_schema(
    operation_id="deleteLicense",
    parameters=[_IF_MATCH],
    responses={
        204: OpenApiResponse(description="Deleted."),
        **_NOT_VALID,
        **_NOT_FOUND,
        **_REFUSED,
        **_PRECONDITION,
    },
)
