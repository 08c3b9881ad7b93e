"""The operations pages in the Django admin: one entry, and a page for each subject."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from event_stream.errors import UnavailableError
from event_stream.operations.models import Operations
from event_stream.operations.pages import ActionError, Page, may, register, registered_pages, url_name
from event_stream.operations.pages.doctor import DoctorPage
from event_stream.operations.pages.overview import OverviewPage
from event_stream.operations.pages.workers import WorkersPage

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Operations]
else:
    ModelAdmin = admin.ModelAdmin

register(OverviewPage())
register(WorkersPage())
if apps.is_installed("event_stream.outbox"):
    from event_stream.operations.pages.outbox import OutboxPage

    register(OutboxPage())
if apps.is_installed("event_stream.dead_letters"):
    from event_stream.operations.pages.dead_letters import DeadLettersPage

    register(DeadLettersPage())
register(DoctorPage())


@admin.register(Operations)
class OperationsAdmin(ModelAdmin):
    """Whoever may view sees every page; what may be done needs the permission that a page names."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.page_view))
        changelist = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [
            path("", view, {"slug": OverviewPage.slug}, name=changelist),
            *(path(f"{page.slug}/", view, {"slug": page.slug}, name=url_name(page)) for page in registered_pages()),
        ]

    def page_view(self, request: HttpRequest, slug: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        # One that this service has no use for is in no navigation, and says so itself.
        page = next(page for page in registered_pages() if page.slug == slug)
        if request.method == "POST":
            return self._act(request, page)
        context = {
            **self.admin_site.each_context(request),
            "refreshes": page.refreshes,
            **page.context(request),
            "title": page.title,
            "opts": self.opts,
            "page": page,
            "may_operate": may(request.user, page.permission),
        }
        return TemplateResponse(request, f"admin/event_stream_operations/{slug}.html", context)

    def _act(self, request: HttpRequest, page: Page) -> HttpResponse:
        if not may(request.user, page.permission):
            raise PermissionDenied
        try:
            done = page.act(request)
        except (ActionError, UnavailableError) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())
        if isinstance(done, str):
            messages.success(request, done)
            return HttpResponseRedirect(request.get_full_path())
        messages.success(request, done.text)
        return HttpResponseRedirect(f"{request.path}?{urlencode(done.query)}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
