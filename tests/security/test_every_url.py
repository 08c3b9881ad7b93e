"""No URL of either service is without an answer to the question of who may call it, the next one included."""

import json
import re
from typing import Any

import httpx
import pytest

from devstack.cluster import ServiceCluster
from devstack.django_commands import LICENSING, ORGANIZATION, Project, manage
from tests.security.test_endpoints import ENDPOINTS, OPEN

# Django's own list of what there is, with the methods of each view that has a class.
_WALK = """
import json
from django.urls import get_resolver

def walk(patterns, before=""):
    for each in patterns:
        route = before + str(each.pattern)
        if hasattr(each, "url_patterns"):
            yield from walk(each.url_patterns, route)
        else:
            view = getattr(each.callback, "cls", None) or getattr(each.callback, "view_class", None)
            yield route, [name.upper() for name in view.http_method_names if hasattr(view, name)] if view else []

print(json.dumps(list(walk(get_resolver().url_patterns))))
"""
_ORGANIZATIONS = "v1/organization"
_LICENSES = f"{_ORGANIZATIONS}/<any_case_uuid:organization_id>/license"
ROUTES = {
    "organization": (_ORGANIZATIONS, f"{_ORGANIZATIONS}/<any_case_uuid:organization_id>"),
    "license": (_LICENSES, f"{_LICENSES}/<any_case_uuid:license_id>"),
}
# The browsable API's; guesses are counted there as in the admin (tests/org_project/test_logins.py).
LOGINS = {"api-auth/login/", "api-auth/logout/"}
# For the other service, which asks with its token (tests/security/test_endpoints.py has them, too).
INTERNAL = {"traces", "traces/<path:correlation_id>"}
# A visitor who is not logged in has nothing to log out of.
LEADS_TO = {"admin/logout/": "/admin/"}
SERVICES = [(ORGANIZATION, "organization"), (LICENSING, "license")]


def urls(platform: ServiceCluster, project: Project) -> list[tuple[str, list[str]]]:
    settings = platform.organization_settings if project is ORGANIZATION else platform.licensing_settings
    found: list[Any] = json.loads(manage(project, settings, ["shell", "--command", _WALK]).splitlines()[-1])
    return [(route, methods) for route, methods in found]


@pytest.mark.parametrize(("project", "service"), SERVICES, ids=["organization", "licensing"])
def test_every_url_is_in_the_table_or_open_or_the_admins(
    platform: ServiceCluster, project: Project, service: str
) -> None:
    table = {(ROUTES[each.service][each.one], each.method) for each in ENDPOINTS if each.service == service}
    found = urls(platform, project)
    ours = {route for route, _methods in found if not route.startswith("admin/")}
    api = {
        (route.rstrip("/"), method)
        for route, methods in found
        if route.startswith("v1/")
        for method in [*methods, "HEAD"]
    }

    assert api == table
    others = ours - {route for route, _method in api} - {f"{route}/" for route, _method in api}
    assert others == {path.removeprefix("/") for path in OPEN} | LOGINS | INTERNAL


@pytest.mark.parametrize(("project", "service"), SERVICES, ids=["organization", "licensing"])
def test_every_page_of_the_admin_asks_for_a_login(platform: ServiceCluster, project: Project, service: str) -> None:
    url = platform.organization_url if project is ORGANIZATION else platform.licensing_urls[0]
    routes = [route for route, _methods in urls(platform, project) if route.startswith("admin/")]
    assert len(routes) > 20
    with httpx.Client(base_url=url, timeout=20) as stranger:
        for route in routes:
            # A value for each part that varies; regular expressions are used for two, of which one takes all the rest.
            path = re.sub(r"<[^>]+>", "1", route.replace("^(?P<app_label>", "(").replace("(?P<url>.*)$", "elsewhere"))
            path = re.sub(r"\((\w+)[^)]*\)", r"\1", path).rstrip("$")
            for method in ("GET", "POST"):
                answer = stranger.request(method, f"/{path}")
                if path == "admin/login/":
                    continue
                # A form without a session has no CSRF token either.
                assert answer.status_code in ({302, 403} if method == "POST" else {302, 404}), (method, path)
                if answer.status_code == 302:
                    assert answer.headers["Location"].startswith(LEADS_TO.get(path, "/admin/login/")), (method, path)
