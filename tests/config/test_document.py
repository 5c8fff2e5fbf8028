"""Which YAML a configuration file is written in."""

from __future__ import annotations

from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from volt_agent.config.document import Document, Malformed, plain_word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        # YAML 1.1 reads these as 1342, 8, 12345, False, True, True, infinity, a date, a key merge.
        ("22:22", "22:22"),
        ("010", "010"),
        ("12_345", "12_345"),
        ("no", "no"),
        ("on", "on"),
        ("Y", "Y"),
        (".inf", ".inf"),
        ("2024-01-01", "2024-01-01"),
        ("<<", "<<"),
        ("1.1.1.1", "1.1.1.1"),
        ("0x1f", "0x1f"),
        ("1e3", "1e3"),
        ("٣", "٣"),
        ("9" * 19, "9" * 19),
    ],
)
def test_plain_words(text: str, value: object) -> None:
    """Only what looks like it to everybody is a number, a boolean or nothing."""
    found = plain_word(text)
    assert found == value
    assert type(found) is type(value)


def test_quotes_make_text() -> None:
    """Whatever is quoted is text; block scalars are too."""
    assert Document("['1', \"true\", '~', \"\"]").value == ["1", "true", "~", ""]
    assert Document("a: |\n  1\nb: >\n  true\n").value == {"a": "1\n", "b": "true\n"}


def test_nested_values_keep_their_shape() -> None:
    """Mappings and lists come out as they stand."""
    assert Document("a:\n- {b: [1, ~]}\n- c: x\n").value == {"a": [{"b": [1, None]}, {"c": "x"}]}


def test_keys_are_text() -> None:
    """A key is what is written, whatever it looks like."""
    assert Document("{1: a, true: b, ~: c}").value == {"1": "a", "true": "b", "~": "c"}


def test_repeated_keys_are_found_on_every_level() -> None:
    """Each with its path and the line of the later one; the first one counts."""
    document = Document("a:\n- {b: 1}\n- b: 1\n  b: 2\na: 3\n")
    assert document.repeated == [("a[1].b", 4), ("a", 5)]
    assert document.value == {"a": [{"b": 1}, {"b": 1}]}


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below),
    max_leaves=12,
)


@given(_PLAIN)
def test_reads_what_another_program_wrote(value: object) -> None:
    """What PyYAML writes with quoted text is read back the same."""
    text = yaml.dump(value, Dumper=_Quoting, allow_unicode=True)
    assert Document(text).value == value


@given(st.text(st.sampled_from("-:[]{}&*!|>'\"%@`#,? \n\tab1~"), max_size=60))
def test_any_text_is_read_or_malformed(text: str) -> None:
    """Text made of YAML's own signs never leads to another error."""
    with suppress(Malformed):
        Document(text)


class _Quoting(yaml.SafeDumper):
    """Quotes all text and writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
