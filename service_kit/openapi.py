"""Parts of the OpenAPI documents of both services."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension

OF_EVERY_REQUEST = (400, 401, 403, 406, 415, 503)
OF_A_BODY = (408, 411, 413, 501)
PROBLEMS = {
    400: "The request can't be read, or a value is not valid: `errors` names each.",
    401: "The service lets in known callers only, and this one has no token, or one that is not accepted.",
    403: "The caller's roles do not allow this.",
    404: "There is no such thing.",
    406: "None of the media types of `Accept` can be answered.",
    408: "The body did not arrive in time.",
    411: "The body has no `Content-Length`, and the server does not read chunks.",
    412: "`If-Match` or `If-None-Match` does not hold of what is here now. Nothing was written.",
    413: "The request is larger than the service accepts.",
    415: "The media type or charset of `Content-Type` is not one that the service reads.",
    501: "The only `Transfer-Encoding` that is understood is chunked.",
    503: "A server that is needed is away; `Retry-After` says when to try again.",
}
"""What each status of a problem says."""


class KnownMembersOnlySchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call] # registers itself, untyped
    """Says of a body that members without a field are refused. Importing the module registers it."""

    target_class = "service_kit.request_bodies.KnownMembersOnly"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False} if direction == "request" else schema
