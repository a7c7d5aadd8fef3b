"""From a call's input to the event a row takes in: whose time counts, which details are kept, what is a repeat."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidField, InvalidId, InvalidTime, MissingField
from common.timestamps import to_epoch_ms
from tests.viewer.events import at
from viewer.events import MAX_DETAILS_DEPTH, call_identity, checked_details, client_time, sync_identity, view_event
from viewer.inputs import EndInput, StartInput, UpdateInput
from viewer.lifecycle import Verb

NOW = at(0)
SINGLE = "single-digit-addition"


def ms(minute: float) -> int:
    return to_epoch_ms(at(minute))


def nested(levels: int, *, lists: bool = False) -> dict[str, Any]:
    """Details of this many levels, themselves among them: {} is none, {"a": 1} is one."""
    inner: Any = 1
    for _ in range(levels - 1):
        inner = [inner] if lists else {"a": inner}
    return {"a": inner}


@pytest.mark.parametrize("verb", Verb)
def test_without_a_clients_time_it_happened_when_it_came(verb: Verb) -> None:
    event = view_event(verb, EndInput(content_id=SINGLE), NOW)
    assert (event.at, event.access_time, event.completed_time, event.client_timed) == (NOW, NOW, NOW, False)


@pytest.mark.parametrize(
    ("access", "completed", "sync", "expected"),
    [
        # the client's times, in minutes -> (access time, completion time, are they the client's)
        (None, None, None, (0, 0, False)),
        (-9, None, None, (-9, -9, True)),
        (None, -5, None, (-5, -5, True)),
        (-9, -5, None, (-9, -5, True)),
        (-5, -9, None, (-5, -9, True)),
        (None, None, -7, (-7, -7, True)),  # a sync item's own time stands in for what it leaves out
        (-9, None, -7, (-9, -9, True)),
        (None, -5, -7, (-7, -5, True)),
        (-9, -5, -7, (-9, -5, True)),
        (+9, +5, None, (0, 0, True)),  # nothing happens in the future
    ],
)
def test_an_end_takes_the_clients_times(
    access: float | None, completed: float | None, sync: float | None, expected: tuple[float, float, bool]
) -> None:
    given = EndInput(
        content_id=SINGLE,
        last_access_time=None if access is None else ms(access),
        last_completed_time=None if completed is None else ms(completed),
    )
    ts = None if sync is None else at(sync)
    event = view_event(Verb.END, given, NOW, ts=ts)
    assert (event.access_time, event.completed_time, event.client_timed) == (
        at(expected[0]),
        at(expected[1]),
        expected[2],
    )


@pytest.mark.parametrize("kind", [StartInput, UpdateInput])
def test_a_start_and_an_update_have_an_access_time_only(kind: type[StartInput]) -> None:
    event = view_event(Verb.UPDATE, kind(content_id=SINGLE, last_access_time=ms(-3)), NOW)
    assert (event.access_time, event.client_timed, event.force) == (at(-3), True, False)


def test_what_each_call_tells_is_in_its_event() -> None:
    given = EndInput(content_id=SINGLE, progress_details={"progress": 45.9, "page": 3}, timespent=12.5, force=True)
    event = view_event(Verb.END, given, NOW)
    assert (event.details, event.progress) == ({"progress": 45.9, "page": 3}, 45)
    assert (event.timespent, event.force, event.verb, event.identity) == (12.5, True, Verb.END, None)


def test_a_start_tells_neither_timespent_nor_force() -> None:
    event = view_event(Verb.START, StartInput(content_id=SINGLE), NOW)
    assert (event.timespent, event.force, event.details, event.progress) == (0.0, False, None, None)


@pytest.mark.parametrize(("days", "kept"), [(0, 0), (89, 89), (90, 90), (91, 90), (4000, 90)])
def test_a_time_older_than_the_offline_limit_counts_as_this_old(settings, days: int, kept: int) -> None:
    settings.VIEWER_MAX_OFFLINE_DAYS = 90
    assert client_time("ts", to_epoch_ms(NOW - timedelta(days=days)), NOW) == NOW - timedelta(days=kept)


@pytest.mark.parametrize("written", ["2026-03-01 14:00:00:000+0530", "2026-03-01T08:30:00Z", ms(-30), str(ms(-30))])
def test_a_clients_time_is_read_in_every_format(written: object) -> None:
    assert client_time("ts", written, NOW) == at(-30)


@pytest.mark.parametrize("field", ["lastAccessTime", "lastCompletedTime", "ts"])
@pytest.mark.parametrize("nonsense", ["yesterday", True, [], {}, "2026-02-30", float("nan")])
def test_a_time_that_is_none_is_blamed_on_its_field(field: str, nonsense: object) -> None:
    with pytest.raises(InvalidTime) as refused:
        client_time(field, nonsense, NOW)
    told = f"{field} is not a time (epoch ms, yyyy-MM-dd HH:mm:ss:SSSZ or ISO 8601)"
    assert refused.value.fields == {field: told}


def test_a_wrong_completion_time_is_refused_though_the_access_time_is_right() -> None:
    given = EndInput(content_id=SINGLE, last_access_time=ms(-1), last_completed_time="soon")
    with pytest.raises(InvalidTime, match=r"^lastCompletedTime is not a time"):
        view_event(Verb.END, given, NOW)


@given(st.integers() | st.floats() | st.text() | st.datetimes().map(datetime.isoformat))
def test_whatever_a_client_writes_is_a_recent_time_or_refused(written: object) -> None:
    try:
        kept = client_time("ts", written, NOW)
    except InvalidTime:
        return
    assert kept is not None
    assert NOW - timedelta(days=90) <= kept <= NOW


@pytest.mark.parametrize("details", [None, {}])
def test_no_details_are_none(details: dict[str, Any] | None) -> None:
    assert checked_details(details) is None


@pytest.mark.parametrize("lists", [False, True], ids=["objects", "lists"])
def test_details_are_nested_to_a_limit(lists: bool) -> None:
    assert MAX_DETAILS_DEPTH == 32
    deepest = nested(32, lists=lists)
    assert checked_details(deepest) is deepest
    for levels in (33, 34, 900):
        with pytest.raises(InvalidField) as refused:
            checked_details(nested(levels, lists=lists))
        assert refused.value.fields == {"progressDetails": "progressDetails is nested deeper than 32 levels"}


def test_the_deepest_branch_counts_wherever_it_is() -> None:
    with pytest.raises(InvalidField, match="nested deeper"):
        checked_details({"a": 1, "b": [1, {"c": nested(31)}], "d": []})


@pytest.mark.parametrize("letter", ["x", "é", "क"])
def test_details_are_as_large_as_their_json_in_bytes(settings, letter: str) -> None:
    settings.VIEWER_MAX_DETAILS_BYTES = 300
    around = len('{"a":""}')
    fits = (300 - around) // len(letter.encode())
    assert checked_details({"a": letter * fits}) is not None
    with pytest.raises(InvalidField) as refused:
        checked_details({"a": letter * (fits + 1)})
    assert refused.value.fields == {"progressDetails": "progressDetails is larger than 300 bytes"}


@pytest.mark.parametrize(
    "details",
    [
        {"a": "\x00"},
        {"a\x00": 1},
        {"a": {"b": ["x", "\x00y"]}},
        {"a": "\\\x00"},
        {"a": "\\\\\x00"},
        {"a": "\\u0000\x00"},
    ],
)
def test_a_nul_that_postgresql_could_not_keep_is_refused(details: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as refused:
        checked_details(details)
    assert refused.value.fields == {"progressDetails": "progressDetails holds a NUL character"}


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\", "\x01", "\u2028", "0000", "\\\\\\u0000", "\\n\\u0000"])
def test_what_only_looks_like_a_nul_is_kept(text: str) -> None:
    assert checked_details({"a": text, text: "a"}) == {"a": text, text: "a"}


@given(
    st.dictionaries(st.text(alphabet="\x00\\u0a", max_size=9), st.text(alphabet="\x00\\u0a", max_size=9), max_size=3)
)
def test_a_nul_is_found_exactly_where_there_is_one(details: dict[str, str]) -> None:
    holds = any("\x00" in text for pair in details.items() for text in pair)
    try:
        checked_details(details)
    except InvalidField:
        assert holds
    else:
        assert not holds


def test_a_sync_event_is_known_by_its_id_for_ever() -> None:
    identity = sync_identity(" event-1 ", {"id": "event-1", "type": "start"}, NOW)
    assert (identity.id, identity.at) == ("e:event-1", NOW)
    assert identity == sync_identity("event-1", {"type": "start", "id": "event-1"}, NOW)


def test_a_sync_event_with_other_content_has_another_hash() -> None:
    one, other = ({"id": "event-1", "contentId": content} for content in ("a", "b"))
    assert sync_identity("event-1", one, NOW).payload_hash != sync_identity("event-1", other, NOW).payload_hash


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_sync_event_without_an_id_is_refused(blank: str | None) -> None:
    with pytest.raises(MissingField) as refused:
        sync_identity(blank, {}, NOW)
    assert refused.value.fields == {"id": "id is required"}


def test_a_sync_event_has_an_id_as_every_id() -> None:
    with pytest.raises(InvalidId, match=r"^id is longer"):
        sync_identity("x" * 257, {}, NOW)


def test_a_call_is_known_by_its_message_and_its_body() -> None:
    body = {"contentId": SINGLE, "timespent": 5}
    identity = call_identity("message-1", body, NOW)
    assert identity.id == f"m:{identity.payload_hash}"
    assert identity == call_identity("message-1", dict(reversed(body.items())), NOW)
    others = [
        call_identity("message-2", body, NOW),
        call_identity("message-1", {**body, "timespent": 6}, NOW),
        call_identity("message-1", {"contentId": SINGLE}, NOW),
    ]
    assert len({identity.id, *(other.id for other in others)}) == 4


def test_a_call_never_has_a_sync_events_identity() -> None:
    assert call_identity("event-1", {}, NOW).id != sync_identity("event-1", {}, NOW).id
    assert not sync_identity("m:1", {}, NOW).id.startswith("m:")
