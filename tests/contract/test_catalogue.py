"""Every text that is translated is in the catalogue of each language, with the same fields."""

import ast
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.language import ENGLISH, LANGUAGES, in_language, language_of, ntr, read_catalogue, tr, translations
from tests.contract.catalogue import calls, path_of, texts, updated

OTHERS = [code for code in LANGUAGES if code != ENGLISH]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_what_is_translated_is_a_literal_that_the_catalogue_finds() -> None:
    named = {"ntr": 2}
    for place, call in calls():
        assert isinstance(call.func, ast.Name)
        first = call.args[: named.get(call.func.id, 1)]
        # A constant is marked by tr_noop where it is defined, and looked up by name.
        accepted = (ast.Constant, ast.Name, ast.Attribute, ast.Subscript) if call.func.id == "tr" else ast.Constant
        assert all(isinstance(each, accepted) for each in first), f"{place}: an f-string or sum is in no catalogue"


@pytest.mark.parametrize("code", OTHERS)
def test_the_catalogue_has_exactly_the_texts_of_the_code_and_translates_each(code: str) -> None:
    known = {m.id[0] if isinstance(m.id, tuple | list) else m.id for m in read_catalogue(code) if m.id}
    assert known == set(texts()), "run make drawing, and translate what it adds"
    missing = set(texts()) - set(translations(read_catalogue(code)))
    assert not missing, f"{path_of(code).name} has no translation of {sorted(missing)[:5]}"


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_fields_of_its_text(code: str) -> None:
    plurals = texts()
    for text, translated in translations(read_catalogue(code)).items():
        plural = plurals.get(text)
        allowed = fields(text) | (fields(plural) if plural else set())
        wanted = allowed - ({"number"} if plural else set())
        assert wanted <= fields(translated) <= allowed, (text, translated)


@pytest.mark.parametrize("code", OTHERS)
def test_bringing_the_catalogue_up_to_date_again_changes_nothing(code: str) -> None:
    again = {str(m.id): m.string for m in updated(code) if m.id}
    assert again == {str(m.id): m.string for m in read_catalogue(code) if m.id}


@given(st.text())
def test_english_text_without_values_is_said_as_it_is(text: str) -> None:
    assert tr(text) == text


def test_one_and_many_are_counted_apart() -> None:
    assert [ntr("{number} day", "{number} days", number) for number in (0, 1, 2, 1200)] == [
        *("0 days", "1 day", "2 days", "1,200 days"),
    ]


@pytest.mark.parametrize(
    ("tag", "code"),
    [("ja-JP", "ja"), ("ja_JP", "ja"), ("JA", "ja"), ("en-US", "en"), ("fr-FR", None), ("", None), (None, None)],
)
def test_the_locale_of_a_person_leads_to_a_language(tag: str | None, code: str | None) -> None:
    assert language_of(tag) == code


def test_a_language_without_a_catalogue_is_english() -> None:
    with in_language("xx"):
        assert tr("It is so.") == "It is so."
