"""Each setting that the code reads from the environment, with each wrong value of its kind, ends the start with one
sentence that names it and says what it should be. The settings are those that the code asks for."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION, Project
from devstack.environment import ROOT

NOWHERE = "127.0.0.1:1"
LONG = "x" * 300
NOT_TEXT = ["", "   "]
NOT_A_NUMBER = [*NOT_TEXT, "ten", "1e18", "1e300", "nan", "inf", "-1", "9" * 5000]
NOT_AN_ADDRESS = [*NOT_TEXT, "hush", f"hush:{'9' * 9}", "hush:abc", "hush:-1", "hush:0", ":1"]
NOT_A_URL = [*NOT_TEXT, "hush", "-1", "1e18", "ftp://hush/0"]


def urls(scheme: str, path: str = "") -> list[str]:
    wrong = (f"{scheme}://h:hush{path}", f"{scheme}://h:99999{path}", f"{scheme}://h:0{path}", f"{scheme}://h h{path}")
    return [
        *NOT_A_URL,
        *wrong,
        f"{scheme}://u:hush/hush@h{path}",
        f"{scheme}://u:hush#hush@h{path}",
        f"{scheme}://[h{path}",
    ]


WRONG: Mapping[str, list[str]] = {
    "flag": [*NOT_TEXT, "perhaps", "1e18", "-1", "1.5"],
    "seconds": [*NOT_A_NUMBER, "0", "1e-300"],
    "number": [*NOT_A_NUMBER, "0", "1e-300"],
    "count": [*NOT_A_NUMBER, "1.5"],
    "choice": [*NOT_TEXT, "foo", "-1", LONG],
    "text": NOT_TEXT,
    "topic": [*NOT_TEXT, "a b", "a/b", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", LONG],
    "texts": [*NOT_TEXT, ",", "a b", "a/b/c", "*"],
    "origins": ["example.org", "-1", "https://", "https://u:hush@example.org", "https://example.org/path"],
    "path": NOT_TEXT,
    "address": NOT_AN_ADDRESS,
    "addresses": NOT_AN_ADDRESS,
    "bind_address": [*NOT_AN_ADDRESS, "unix:"],
    "postgresql": [
        *urls("postgresql", "/name"),
        *("postgresql://h", "postgresql://h/", "postgresql://h/%20", f"postgresql://h/{LONG}"),
        *("postgresql://h/name?foo=bar", "postgresql://h/name?sslrootcert=/nowhere"),
    ],
    "redis_url": [
        *urls("redis", "/0"),
        *("redis://", "redis://h/xyz", "redis://h/0/1", "redis://h/-1", "redis://h/0?foo=bar", "unix://"),
        *("redis://h/0?socket_timeout=abc", "rediss://h/0?ssl_ca_certs=/nowhere", "rediss://h/0?ssl_cert_reqs=foo"),
    ],
    "redis_servers": [
        *urls("redis", "/0"),
        *("redis://h/xyz", "redis+other://h:1", "redis+cluster://", "redis+cluster://hush", "redis+cluster://h:1,hush"),
        *("redis+cluster://h:1/1", "redis+cluster://h:1?foo=bar", "rediss+cluster://h:1?ssl_ca_certs=/nowhere"),
        *("redis+cluster://u:hush/hush@h:1", "redis+cluster://h:99999", "redis+sentinel://u:hush#hush@h:1/name"),
        *("redis+sentinel://h:1", "redis+sentinel://h:1/", "redis+sentinel://h:1/na me/0", "redis+sentinel://h/name"),
        *("redis+sentinel://h:1/name/xyz", "redis+sentinel://h:1/name/0?foo=bar", "sentinel://h:1/name"),
    ],
    "amqp_urls": [*urls("amqp"), "amqp://", "amqp://h?foo=bar", "amqp://h?heartbeat=abc", "amqp://h,http://h"],
    "base_url": [*urls("http"), "http://", "http://u:hush@h", "http://h?a=b"],
    "named_urls": ["hush", "name=", "=http://h", "name=ftp://h", "name=http://h:hush", "name=http://u:hush@h"],
    "key_set_url": [*urls("http"), "http://", "http://u:hush@h", "file:a", "file:///", "file://h/a"],
}
"""By the reader of `service_kit.settings.environment`; each is tried with a control character as well."""

RIGHT = {
    "PATH": os.environ["PATH"],
    "SECRET_KEY": "for-tests-only-" + "0123456789" * 5,
    "DATABASE_URL": f"postgresql://somebody@{NOWHERE}/none",
    "OUTBOX_DATABASE_URL": f"postgresql://somebody@{NOWHERE}/none",
    "AUTH_ISSUER": "https://id.example.org/realms/ours",
    "AUTH_AUDIENCE": "ours",
    "REDIS_URL": f"redis://{NOWHERE}/0",
    "ORGANIZATION_SERVICE_URL": f"http://{NOWHERE}",
}
KAFKA = {"EVENT_BINDER": "kafka", "KAFKA_BOOTSTRAP_SERVERS": NOWHERE}
LOGIN = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "somebody", "KAFKA_SASL_PASSWORD": "password"}
PLATFORMS = (
    KAFKA,
    {**KAFKA, **LOGIN},
    {"EVENT_BINDER": "redis", "EVENT_REDIS_URL": f"redis://{NOWHERE}/1"},
    {"EVENT_BINDER": "rabbitmq", "RABBITMQ_URL": f"amqp://{NOWHERE}"},
)
PROJECTS = (ORGANIZATION, LICENSING, JOURNAL)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_wrong_value_is_one_sentence_at_the_start(project: Project) -> None:
    script = str(ROOT / "tests/unit/deploy/read_settings.py")
    right = [RIGHT | platform for platform in PLATFORMS]
    done = subprocess.run(
        [sys.executable, script, str(project.folder), json.dumps(right), json.dumps(WRONG)],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer["readers"].values()) <= set(WRONG), "a new kind of setting needs its wrong values here"
    assert {name for name, _, _ in answer["outcomes"]} == set(answer["readers"])
    unlike = [
        (name, value[:50], said)
        for name, value, said in answer["outcomes"]
        if said is None
        or not said.startswith(f"{name} should be ")
        or "\n" in said
        or ("://" in value and "hush" in said)
    ]
    assert unlike == []


READS_THE_ENVIRONMENT = {
    "service_kit/settings/sources.py",
    # The name of the settings, before they are read.
    "event_stream/terminal.py",
    # Tells the processes of one gunicorn where their files are.
    "service_kit/gunicorn_metrics.py",
    "event_stream/metrics/exposition.py",
    # OpenTelemetry's own variables, which its packages read.
    "event_stream/otel/__init__.py",
    "service_kit/tracing.py",
    # For tests of crashes.
    "event_stream/failpoints.py",
}


def test_no_other_code_of_the_services_reads_the_environment() -> None:
    readers = set()
    for package in ("event_stream", "service_kit", *(project.name for project in PROJECTS)):
        for module in ROOT.glob(f"**/{package}/**/*.py"):
            relative = module.relative_to(ROOT).as_posix()
            # A wheel that was built here leaves a copy in `build`.
            if relative.startswith((".", "build", "tests", "event_stream/testing")) or module.name in {
                "wsgi.py",
                "manage.py",
            }:
                continue
            nodes = ast.walk(ast.parse(module.read_text()))
            if any(isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} for node in nodes):
                readers.add(relative)
    assert readers == READS_THE_ENVIRONMENT


def test_every_client_of_http_believes_the_authorities_of_this_machine() -> None:
    """Or those that SSL_CERT_FILE and SSL_CERT_DIR name. Without `verify`, httpx believes those of a package."""
    calls = [
        (module.relative_to(ROOT).as_posix(), {keyword.arg for keyword in node.keywords})
        for folder in ("event_stream", "service_kit", "deploy", ORGANIZATION.name, LICENSING.name)
        for module in (ROOT / folder).glob("**/*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"httpx.{name}" for name in HTTP_CALLS}
    ]
    assert len(calls) >= 4
    assert [module for module, keywords in calls if "verify" not in keywords] == []


HTTP_CALLS = ("Client", "get", "post", "put", "request", "stream")
