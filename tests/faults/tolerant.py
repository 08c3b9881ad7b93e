"""A client of both services who takes no for an answer, and writes it down."""

import time
from datetime import datetime

import httpx

from tests.consistency.history import Read, Write
from tests.consistency.load import Unanswered
from tests.e2e.world import Customer, World, fresh

_PROBLEM = "application/problem+json"


class Tolerant:
    """All its requests go through `world`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.instances = len(world.platform.licensing_urls)

    def write(self, customer: Customer) -> Write | Unanswered:
        began_s = time.time()
        url = self._world.platform.organization_url + customer.path
        try:
            answer = self._world.http.patch(url, json={"contactName": fresh("contact")})
        except httpx.TransportError as error:
            return _no_answer(customer, "PATCH", began_s, error)
        if answer.status_code != 200:
            return _refused(customer, began_s, answer)
        return Write(customer.id, int(answer.headers["Organization-Version"]), began_s, time.time())

    def read(self, customer: Customer, instance: int) -> Read | Unanswered:
        began_s = time.time()
        try:
            answer = self._world.ask(customer, instance)
        except httpx.TransportError as error:
            return _no_answer(customer, "GET", began_s, error)
        if answer.status_code != 200:
            return _refused(customer, began_s, answer)
        answered_s = time.time()
        fresh_at_s = datetime.fromisoformat(answer.headers["Organization-Fresh-At"]).timestamp()
        version, cache = int(answer.headers["Organization-Version"]), answer.headers["Organization-Cache"]
        return Read(customer.id, version, began_s, answered_s, fresh_at_s, cache)


def _no_answer(customer: Customer, method: str, began_s: float, error: httpx.TransportError) -> Unanswered:
    return Unanswered(customer, method, began_s, time.time(), None, f"{type(error).__name__}: {error}")


def _refused(customer: Customer, began_s: float, answer: httpx.Response) -> Unanswered:
    says_so = (
        answer.status_code == 503 and answer.headers["Content-Type"] == _PROBLEM and "Retry-After" in answer.headers
    )
    method, status = answer.request.method, answer.status_code
    return Unanswered(customer, method, began_s, time.time(), status, answer.text[:200], says_so)
