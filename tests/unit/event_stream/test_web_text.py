"""Text: one form of each character, and blank if nothing of it can be seen."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_kit.text import normalized, spellings


@pytest.mark.parametrize("text", ["\u200b", "\ufeff \u2060", "\u3164\u2800", "\u00ad\u200d\ufe0f", "\u3000\u00a0"])
def test_what_shows_nothing_is_blank(text: str) -> None:
    assert normalized(text) == ""


@pytest.mark.parametrize("text", ["", " ", "Acme", "A\u200bB", "\u200b\x01", "서울", "👩\u200d🚀"])
def test_anything_else_stays(text: str) -> None:
    assert normalized(text) == text


@given(st.text(max_size=50))
def test_a_text_is_in_one_form(text: str) -> None:
    assert normalized(text) in ("", unicodedata.normalize("NFC", text))
    assert normalized(normalized(text)) == normalized(text)
    assert {unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)} == set(spellings(text))


def test_a_text_longer_than_any_field_costs_nothing() -> None:
    text = "\u0315\u0300" * 500_000
    assert normalized(text) is text
    assert spellings(text) == (text,)
