"""Messages in the caller's language, and the catalogue they come from."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.test import Client

import licenses
import organization_lookup
import service_kit
from tests.licensing_project.organization_service import NASA

CATALOGUE = Path(licenses.__file__).parent / "locale" / "ko" / "LC_MESSAGES" / "django.po"
TRANSLATING = {"_", "gettext", "gettext_lazy", "now"}


def messages_in_code() -> Iterator[str]:
    for package in (licenses, organization_lookup, service_kit):
        for module in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TRANSLATING:
                    text = node.args[0]
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text.value


def messages_in_templates() -> Iterator[str]:
    for template in (Path(str(service_kit.__file__)).parent / "templates").rglob("*.html"):
        yield from re.findall(r"{% translate [\"'](.+?)[\"'] %}", template.read_text())
        for block in re.findall(r"{% blocktranslate %}(.+?){% endblocktranslate %}", template.read_text()):
            yield re.sub(r"{{ (\w+) }}", r"%(\1)s", block)


def test_every_message_has_its_translation_and_no_other_is_kept() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert {entry.msgid for entry in catalogue if entry.msgstr} == {
        *messages_in_code(),
        *messages_in_templates(),
    }


def test_the_compiled_catalogue_is_that_of_the_text() -> None:
    text, compiled = polib.pofile(str(CATALOGUE)), polib.mofile(str(CATALOGUE.with_suffix(".mo")))
    assert {each.msgid: each.msgstr for each in compiled} == {each.msgid: each.msgstr for each in text}


def test_placeholders_survive_translation() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        assert sorted(re.findall(r"%\(\w+\)[sd]", entry.msgid)) == sorted(re.findall(r"%\(\w+\)[sd]", entry.msgstr))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked_for", "answered_in", "title"),
    [
        ("ko", "ko", "라이선스를 찾을 수 없음"),
        ("ko-KR, en;q=0.5", "ko", "라이선스를 찾을 수 없음"),
        ("de, ko;q=0.5, en;q=0.4", "ko", "라이선스를 찾을 수 없음"),
        ("en", "en", "License not found"),
        ("de", "en", "License not found"),
        ("\x00;;=", "en", "License not found"),
    ],
)
def test_a_problem_is_told_in_the_callers_language(api: Client, asked_for: str, answered_in: str, title: str) -> None:
    answer = api.get(f"/v1/organization/{NASA}/license/{NASA}", headers={"accept-language": asked_for})
    assert answer.status_code == 404
    assert (answer["Content-Language"], answer.json()["title"]) == (answered_in, title)
    assert "Accept-Language" in answer["Vary"]
    assert answer.json()["type"] == "/problems/license-not-found"


@pytest.mark.django_db
@pytest.mark.usefixtures("organization_service")
def test_a_fields_error_is_told_in_the_callers_language(api: Client, licenses_url: str) -> None:
    answer = api.post(licenses_url, {}, content_type="application/json", headers={"accept-language": "ko"})
    assert {"field": "productName", "message": "이 필드는 필수 항목입니다."} in answer.json()["errors"]
