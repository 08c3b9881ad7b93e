"""Pagination: `?page=2&size=50`, counted from 1."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from service_kit.problem_details import Problem


class Pages(PageNumberPagination):
    """DRF's pagination, with {count, next, previous, results}; a page beyond the last is a 404, as in DRF.

    An invalid number is a 400 that names the parameter; DRF would use the first page or the default size.
    """

    page_query_param = "page"
    page_size_query_param = "size"
    page_size = 20
    max_page_size = 200

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Return DRF's, with the limits that `paginate_queryset` checks."""
        limits = {
            self.page_query_param: {"minimum": 1},
            self.page_size_query_param: {"minimum": 1, "maximum": self.max_page_size},
        }
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        return [{**each, "schema": {**each["schema"], **limits[each["name"]]}} for each in parameters]

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        if request.query_params.get(self.page_query_param) not in self.last_page_strings:
            _check(request, self.page_query_param, None)
        _check(request, self.page_size_query_param, self.max_page_size)
        return super().paginate_queryset(queryset, request, view)


def _check(request: Request, name: str, greatest: int | None) -> None:
    value = request.query_params.get(name)
    if value is None:
        return
    digits = value if value.isascii() and value.isdigit() and len(value) <= 18 else "0"
    if int(digits) < 1 or (greatest is not None and int(digits) > greatest):
        message = (
            _("A whole number of 1 or more is wanted.")
            if greatest is None
            else _("A whole number from 1 to %(greatest)d is wanted.") % {"greatest": greatest}
        )
        raise Problem(400, detail=f"{name}: {message}", errors=[(name, str(message))], type="/problems/validation")
