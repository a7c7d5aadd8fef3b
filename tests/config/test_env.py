"""The typed readers of the environment: what each takes, and what its refusal says."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

NAME = "VIEWER_TESTED"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch):
    """given("on") sets the variable; given(None) leaves it unset."""

    def put(value: str | None, name: str = NAME) -> None:
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize("absent", [None, "", "  \t"])
def test_a_variable_set_to_nothing_counts_as_not_set(given, absent: str | None) -> None:
    given(absent)
    assert env.text(NAME, "default") == "default"
    assert env.flag(NAME, True) is True
    assert env.integer(NAME, 7, minimum=1) == 7
    assert env.choice(NAME, "off", ("off", "jwt")) == "off"
    assert env.words(NAME, ("a", "b")) == ["a", "b"]
    assert env.secret(NAME, "default") == "default"


def test_text_loses_its_outer_blanks(given) -> None:
    given("  some text ")
    assert env.text(NAME) == "some text"


@pytest.mark.parametrize(
    ("written", "value"),
    [("1", True), ("true", True), ("YES", True), (" on ", True), ("0", False), ("False", False), ("no", False)],
)
def test_a_flag_is_read(given, written: str, value: bool) -> None:
    given(written)
    assert env.flag(NAME, not value) is value


@pytest.mark.parametrize("written", ["2", "yep", "off;", "none"])
def test_a_flag_that_is_neither_on_nor_off_is_refused(given, written: str) -> None:
    given(written)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} must be on or off, not '{written}'$"):
        env.flag(NAME, False)


@pytest.mark.parametrize(("written", "value"), [("1", 1), (" 65535 ", 65535), ("+7", 7)])
def test_an_integer_is_read(given, written: str, value: int) -> None:
    given(written)
    assert env.integer(NAME, 3, minimum=1, maximum=65535) == value


@pytest.mark.parametrize("written", ["ten", "1.5", "1e3", "0x10", "1 2"])
def test_what_is_no_whole_number_is_refused(given, written: str) -> None:
    given(written)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} must be a whole number, not '{written}'$"):
        env.integer(NAME, 3, minimum=1)


@pytest.mark.parametrize("written", ["0", "-1", "65536", "9" * 30])
def test_a_number_out_of_range_is_refused(given, written: str) -> None:
    given(written)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} must be between 1 and 65535, not {written}$"):
        env.integer(NAME, 3, minimum=1, maximum=65535)


def test_a_choice_is_read_in_any_case(given) -> None:
    given("JWT")
    assert env.choice(NAME, "off", ("off", "jwt")) == "jwt"


def test_a_choice_that_does_not_exist_is_refused(given) -> None:
    given("basic")
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} must be one of off, jwt, not 'basic'$"):
        env.choice(NAME, "off", ("off", "jwt"))


def test_words_are_parted_by_commas_and_blanks_dropped(given) -> None:
    given(" a, b,, c ,")
    assert env.words(NAME, ("x",)) == ["a", "b", "c"]


def test_a_secret_is_read_from_the_variable(given) -> None:
    given("s3cret")
    assert env.secret(NAME) == "s3cret"


def test_a_secret_is_read_from_the_file_the_variable_names(given, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("  s3cret: ключ\n", encoding="utf-8")
    given(str(path), f"{NAME}_FILE")
    assert env.secret(NAME, "default") == "s3cret: ключ"


def test_a_secret_given_twice_is_refused(given, tmp_path: Path) -> None:
    given("s3cret")
    given(str(tmp_path / "secret"), f"{NAME}_FILE")
    with pytest.raises(ImproperlyConfigured, match=f"^Set {NAME} or {NAME}_FILE, not both$"):
        env.secret(NAME)


def test_a_secret_file_that_is_not_there_is_refused(given, tmp_path: Path) -> None:
    given(str(tmp_path / "nowhere"), f"{NAME}_FILE")
    with pytest.raises(ImproperlyConfigured, match=rf"^{NAME}_FILE: cannot read {tmp_path}/nowhere: No such file"):
        env.secret(NAME)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe\x00", "not text")]
)
def test_a_secret_file_without_a_secret_is_refused(given, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    given(str(path), f"{NAME}_FILE")
    with pytest.raises(ImproperlyConfigured, match=rf"^{NAME}_FILE: {path} is {reason.removeprefix('is ')}$"):
        env.secret(NAME, "default")
