"""Writes docs/api.md from the OpenAPI documents of both services: `python -m devstack.api_reference`."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devstack.commands.check import SETTINGS
from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT

PAGE = ROOT / "docs" / "api.md"
SERVICES = {"The organization service": ORGANIZATION, "The licensing service": LICENSING}
_METHODS = ("get", "post", "put", "patch", "delete")

_HEAD = """# API

Made from the OpenAPI documents by `.venv/bin/python -m devstack.api_reference`; a test compares. A running service has
its own at `/openapi.json` and, to be tried in the browser, at `/docs`. Errors are `application/problem+json`.
[Headers](headers.md) says which part sets and reads each header.
"""

Document = Mapping[str, Any]


def documents() -> dict[str, Document]:
    """The OpenAPI document of each service."""
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        return dict(zip(SERVICES, pool.map(_document, SERVICES.values()), strict=True))


def _document(project: Project) -> Document:
    argv = project.command("spectacular", "--format", "openapi-json")
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=os.environ | SETTINGS,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    document: Document = json.loads(done.stdout)
    return document


def page(documents: Mapping[str, Document]) -> str:
    """The text of docs/api.md."""
    lines = [_HEAD]
    for service, document in documents.items():
        lines.append(f"## {service}\n")
        for path, operations in document["paths"].items():
            for method in _METHODS:
                if method in operations:
                    lines += _operation(method, path, operations[method], document)
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Document) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    if text := operation.get("summary") or operation.get("description"):
        yield f"{_cell(text)}\n"
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        types = ", ".join(f"`{name}`" for name in sorted(body))
        yield f"Body: {types} with {_members(next(iter(body.values())), document)}.\n"
    parameters = [one for one in operation.get("parameters", []) if one["in"] != "path"]
    if parameters:
        yield "| parameter | in | |\n|---|---|---|"
        for one in parameters:
            yield f"| `{one['name']}` | {one['in']} | {_cell(one.get('description', ''))} |"
        yield ""
    yield "| answer | type | headers | |\n|---|---|---|---|"
    for status, answer in sorted(operation["responses"].items()):
        types = ", ".join(f"`{name}`" for name in sorted(answer.get("content", {})))
        headers = ", ".join(f"`{name}`" for name in sorted(answer.get("headers", {})))
        yield f"| {status} | {types} | {headers} | {_cell(answer.get('description', ''))} |"
    yield ""


def _members(content: Mapping[str, Any], document: Document) -> str:
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    names = [f"`{name}`" + ("" if name in required else " (optional)") for name in schema.get("properties", {})]
    return ", ".join(names) or "an object"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(documents()))
