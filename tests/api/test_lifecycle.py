"""The view lifecycle over HTTP: every cell of DESIGN §6's table, progress, time spent, offline times, and reads."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import servers
from tests.api.wire import (
    BATCH,
    DAY_MS,
    DOUBLE,
    END,
    MATHS,
    READ,
    SINGLE,
    START,
    TRIPLE,
    UPDATE,
    ago,
    contents,
    now_ms,
    place,
    refusal,
    view,
)
from tests.servers import Server

Learner = Callable[..., str]


def _started(server: Server, user: str, **more: Any) -> dict[str, Any]:
    """The item of a view that was started an hour ago."""
    server.result(START, place(user, lastAccessTime=ago(hours=1), **more))
    return view(server, place(user))


def _completed(server: Server, user: str) -> dict[str, Any]:
    _started(server, user)
    server.result(END, place(user, lastAccessTime=ago(minutes=50)))
    return view(server, place(user))


# --- the table: start -----------------------------------------------------------------------------------------------


def test_start_makes_a_row_in_progress(server: Server, learner: Learner) -> None:
    user = learner()
    before = now_ms()
    assert server.result(START, place(user)) == {SINGLE: "Progress started"}
    item = view(server, place(user))
    assert (item["status"], item["progress"], item["viewCount"], item["timespent"]) == (1, 0, 1, 0)
    assert item["progressDetails"] == {}
    assert item["lastCompletedTime"] is None
    assert before - 1 <= item["lastAccessTime"] <= now_ms() + 1


def test_second_start_changes_nothing(server: Server, learner: Learner) -> None:
    user = learner()
    first = _started(server, user)
    assert server.result(START, place(user)) == {SINGLE: "Progress started"}
    assert server.result(START, place(user, lastAccessTime=ago(minutes=1))) == {SINGLE: "Progress started"}
    assert view(server, place(user)) == first


def test_start_of_a_completed_content_is_acknowledged_and_changes_nothing(server: Server, learner: Learner) -> None:
    user = learner()
    done = _completed(server, user)
    assert server.result(START, place(user, progressDetails={"page": 9})) == {SINGLE: "Progress started"}
    assert view(server, place(user)) == done


def test_start_takes_details_like_an_update(server: Server, learner: Learner) -> None:
    user = learner()
    item = _started(server, user, progressDetails={"progress": 30, "page": 3})
    assert (item["status"], item["progress"], item["progressDetails"]) == (1, 30, {"progress": 30, "page": 3})
    server.result(START, place(user, progressDetails={"progress": 20, "mimetype": "video/mp4"}))
    item = view(server, place(user))
    assert (item["status"], item["progress"]) == (1, 30)
    assert item["progressDetails"] == {"progress": 20, "page": 3, "mimetype": "video/mp4"}


def test_start_never_completes(server: Server, learner: Learner) -> None:
    item = _started(server, learner(), progressDetails={"progress": 100}, force=True)
    assert (item["status"], item["progress"]) == (1, 99)


# --- the table: update ----------------------------------------------------------------------------------------------


def test_update_before_start_is_404_and_says_so(server: Server, learner: Learner) -> None:
    user = learner()
    body = refusal(server.call(UPDATE, place(user, progressDetails={"progress": 50})), 404, "ERR_VIEW_NOT_STARTED")
    assert body["responseCode"] == "RESOURCE_NOT_FOUND"
    assert list(body["result"]) == ["contentId"]
    assert "send view/start first" in body["params"]["errmsg"]
    assert view(server, place(user))["status"] == 0


def test_update_is_not_forced(server: Server, learner: Learner) -> None:
    user = learner()
    refusal(server.call(UPDATE, place(user, force=True)), 404, "ERR_VIEW_NOT_STARTED")
    assert view(server, place(user))["status"] == 0


def test_update_of_a_started_content_reports_progress(server: Server, learner: Learner) -> None:
    user = learner()
    first = _started(server, user, progressDetails={"page": 1, "kept": [1, {"a": None}]})
    accessed = ago(minutes=30)
    update: dict[str, Any] = {
        "progressDetails": {"progress": 45, "page": 7},
        "timespent": 12.5,
        "lastAccessTime": accessed,
    }
    assert server.result(UPDATE, place(user, **update)) == {SINGLE: "SUCCESS"}
    item = view(server, place(user))
    assert item == {
        **first,
        "progress": 45,
        "progressDetails": {"page": 7, "kept": [1, {"a": None}], "progress": 45},
        "timespent": 12.5,
        "lastAccessTime": accessed,
    }


def test_update_of_nothing_moves_the_last_access(server: Server, learner: Learner) -> None:
    user = learner()
    first = _started(server, user)
    before = now_ms()
    server.result(UPDATE, place(user))
    item = view(server, place(user))
    assert item["lastAccessTime"] >= before - 1
    assert {**item, "lastAccessTime": 0} == {**first, "lastAccessTime": 0}


def test_update_that_comes_late_does_not_turn_back_the_last_access(server: Server, learner: Learner) -> None:
    user = learner()
    first = _started(server, user, progressDetails={"page": 5})
    server.result(UPDATE, place(user, lastAccessTime=ago(hours=2), progressDetails={"page": 1, "volume": 3}))
    item = view(server, place(user))
    assert item["lastAccessTime"] == first["lastAccessTime"]
    assert item["progressDetails"] == {"page": 5, "volume": 3}


def test_update_of_a_completed_content_is_acknowledged_and_changes_nothing(server: Server, learner: Learner) -> None:
    user = learner()
    done = _completed(server, user)
    update = place(user, progressDetails={"progress": 10, "page": 2}, timespent=100)
    assert server.result(UPDATE, update) == {SINGLE: "SUCCESS"}
    assert view(server, place(user)) == done


# --- the table: end -------------------------------------------------------------------------------------------------


def test_end_before_start_is_404_and_tells_how_to_force_it(server: Server, learner: Learner) -> None:
    user = learner()
    body = refusal(server.call(END, place(user)), 404, "ERR_VIEW_NOT_STARTED")
    assert '"force": true' in body["params"]["errmsg"]
    assert "force view end" in body["params"]["errmsg"]
    assert view(server, place(user))["status"] == 0
    refusal(server.call(END, place(user, force=False)), 404, "ERR_VIEW_NOT_STARTED")


def test_forced_end_before_start_completes(server: Server, learner: Learner) -> None:
    user = learner()
    completed = ago(hours=3)
    more: dict[str, Any] = {
        "force": True,
        "progressDetails": {"page": 9},
        "timespent": 7.5,
        "lastCompletedTime": completed,
    }
    assert server.result(END, place(user, **more)) == {SINGLE: "Progress ended"}
    item = view(server, place(user))
    assert (item["status"], item["progress"], item["viewCount"], item["timespent"]) == (2, 100, 1, 7.5)
    assert (item["lastCompletedTime"], item["lastAccessTime"]) == (completed, completed)
    assert item["progressDetails"] == {"page": 9}


def test_end_completes_a_started_content(server: Server, learner: Learner) -> None:
    user = learner()
    first = _started(server, user, progressDetails={"page": 1})
    before = now_ms()
    end = place(user, progressDetails={"progress": 60, "end": True}, timespent=3)
    assert server.result(END, end) == {SINGLE: "Progress ended"}
    item = view(server, place(user))
    assert (item["status"], item["progress"], item["timespent"]) == (2, 100, 3)
    assert item["progressDetails"] == {"page": 1, "progress": 60, "end": True}
    assert before - 1 <= item["lastCompletedTime"] <= now_ms() + 1
    assert item["lastAccessTime"] == item["lastCompletedTime"] > first["lastAccessTime"]
    assert (item["viewCount"], item["origin"]) == (1, None)


def test_forced_end_of_a_started_content_is_a_plain_end(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user, progressDetails={"page": 1})
    server.result(END, place(user, force=True))
    item = view(server, place(user))
    assert (item["status"], item["progress"], item["progressDetails"]) == (2, 100, {"page": 1})


@pytest.mark.parametrize("force", [False, True])
def test_second_end_is_acknowledged_and_changes_nothing(server: Server, learner: Learner, force: bool) -> None:
    user = learner()
    done = _completed(server, user)
    end = place(user, force=force, progressDetails={"page": 99}, timespent=50)
    assert server.result(END, end) == {SINGLE: "Progress ended"}
    assert view(server, place(user)) == done


def test_end_of_one_place_completes_no_other(server: Server, learner: Learner) -> None:
    user = learner()
    _completed(server, user)
    for where in ({"contextId": "batch-2"}, {"contextId": MATHS}, {"contentId": DOUBLE}):
        refusal(server.call(END, place(user) | where), 404, "ERR_VIEW_NOT_STARTED")
        assert view(server, place(user) | where)["status"] == 0


# --- completion times -----------------------------------------------------------------------------------------------


def test_end_with_an_earlier_client_time_corrects_the_completion(server: Server, learner: Learner) -> None:
    user = learner()
    done = _completed(server, user)
    earlier = ago(days=3)
    server.result(END, place(user, lastCompletedTime=earlier, progressDetails={"page": 99}, timespent=5))
    assert view(server, place(user)) == {**done, "lastCompletedTime": earlier}
    earliest = ago(days=5)
    server.result(END, place(user, lastAccessTime=earliest))
    assert view(server, place(user)) == {**done, "lastCompletedTime": earliest}


def test_end_with_a_later_client_time_changes_nothing(server: Server, learner: Learner) -> None:
    user = learner()
    done = _completed(server, user)
    for later in (ago(minutes=10), done["lastCompletedTime"] + 1, now_ms() + DAY_MS, done["lastCompletedTime"]):
        server.result(END, place(user, lastCompletedTime=later))
        assert view(server, place(user)) == done


def test_completion_time_is_the_same_in_whatever_order_the_ends_come(server: Server, learner: Learner) -> None:
    times = [ago(hours=4), ago(hours=2), ago(hours=9)]
    for order in (times, times[::-1], [times[1], times[2], times[0]]):
        user = learner()
        _started(server, user)
        for completed in order:
            server.result(END, place(user, lastCompletedTime=completed))
        assert view(server, place(user))["lastCompletedTime"] == min(times)


@pytest.mark.parametrize("field", ["lastAccessTime", "lastCompletedTime"])
@pytest.mark.parametrize("given", [0, "1970-01-01", ago(days=91), -5_000, "2001-09-09 01:46:40:000+0530"], ids=str)
def test_times_older_than_90_days_count_as_90_days_ago(
    server: Server, learner: Learner, given: object, field: str
) -> None:
    user = learner()
    before = now_ms()
    server.result(END, place(user, force=True) | {field: given})
    item = view(server, place(user))
    for told in (item["lastAccessTime"], item["lastCompletedTime"]):
        assert before - 1 <= told + 90 * DAY_MS <= now_ms() + 1


@pytest.mark.parametrize("field", ["lastAccessTime", "lastCompletedTime"])
@pytest.mark.parametrize("given", [now_ms() + 7 * DAY_MS, "2999-12-31T00:00:00Z", 10**20], ids=["week", "2999", "huge"])
def test_times_in_the_future_count_as_now(server: Server, learner: Learner, given: object, field: str) -> None:
    user = learner()
    before = now_ms()
    server.result(END, place(user, force=True) | {field: given})
    item = view(server, place(user))
    for told in (item["lastAccessTime"], item["lastCompletedTime"]):
        assert before - 1 <= told <= now_ms() + 1


def test_times_just_within_90_days_are_kept(server: Server, learner: Learner) -> None:
    user = learner()
    kept = ago(days=89, hours=23)
    server.result(START, place(user, lastAccessTime=kept))
    assert view(server, place(user))["lastAccessTime"] == kept


def _written_as(epoch_ms: int) -> list[tuple[str, object]]:
    seconds, ms = divmod(epoch_ms, 1000)
    day, clock = (time.strftime(part, time.gmtime(seconds)) for part in ("%Y-%m-%d", "%H:%M:%S"))
    in_india = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds + 19_800))
    return [
        ("epoch", epoch_ms),
        ("epoch float", float(epoch_ms)),
        ("epoch text", str(epoch_ms)),
        ("Sunbird", f"{day} {clock}:{ms:03d}+0000"),
        ("Sunbird in India", f"{in_india}:{ms:03d}+0530"),
        ("Sunbird with a colon", f"{in_india}:{ms:03d}+05:30"),
        ("Sunbird without offset", f"{day} {clock}:{ms:03d}"),
        ("ISO Z", f"{day}T{clock}.{ms:03d}Z"),
        ("ISO offset", f"{in_india.replace(' ', 'T')}.{ms:03d}+05:30"),
        ("ISO microseconds", f"{day}T{clock}.{ms:03d}999Z"),
        ("ISO without offset", f"{day} {clock}.{ms:03d}"),
    ]


def test_one_time_in_any_format_is_one_time(server: Server, learner: Learner) -> None:
    wanted = ago(days=2) + 123
    for name, written in _written_as(wanted):
        user = learner()
        server.result(START, place(user, lastAccessTime=written))
        assert view(server, place(user))["lastAccessTime"] == wanted, name


# --- progress -------------------------------------------------------------------------------------------------------

PROGRESS = [
    (0, 0), (1, 1), (45, 45), (45.9, 45), (99, 99), (99.9, 99), (100, 99), (101, 99), (1e300, 99), (10**30, 99),
    (-1, 0), (-1e300, 0), (0.5, 0), (True, 0), (False, 0), ("50", 0), ("", 0), (None, 0), ([50], 0), ({"x": 50}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("given", "progress"), PROGRESS, ids=[str(given) for given, _ in PROGRESS])
def test_progress_is_whole_percent_below_100_until_the_end(
    server: Server, learner: Learner, given: object, progress: int
) -> None:
    user = learner()
    _started(server, user)
    server.result(UPDATE, place(user, progressDetails={"progress": given}))
    item = view(server, place(user))
    assert (item["status"], item["progress"]) == (1, progress)
    assert type(item["progress"]) is int
    server.result(END, place(user))
    assert view(server, place(user))["progress"] == 100


def test_progress_never_goes_down(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user)
    told = []
    for given in (10, 60, 40, -5, True, "90", None, 61):
        server.result(UPDATE, place(user, progressDetails={"progress": given}))
        told.append(view(server, place(user))["progress"])
    assert told == [10, 60, 60, 60, 60, 60, 60, 61]


def test_progress_is_only_read_from_its_own_key(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user)
    server.result(UPDATE, place(user, progress=70, progressDetails={"Progress": 80, "inner": {"progress": 90}}))
    assert view(server, place(user))["progress"] == 0


# --- time spent and repeats -----------------------------------------------------------------------------------------


def _update(server: Server, msgid: str | None, request: dict[str, Any], path: str = UPDATE) -> None:
    answer = server.client.post(path, json={"params": {"msgid": msgid}, "request": request})
    assert answer.status_code == 200, answer.text


def test_time_spent_adds_up_with_its_fractions(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user, timespent=1000)
    for seconds in (10, 12.63, 0, 0.37, None):
        server.result(UPDATE, place(user, timespent=seconds))
    server.result(END, place(user, timespent=2))
    assert view(server, place(user))["timespent"] == pytest.approx(25.0)


def test_repeated_message_adds_nothing(server: Server, learner: Learner) -> None:
    """What a phone sends again because the answer got lost."""
    user = learner()
    _started(server, user)
    for _ in range(3):
        _update(server, "m-1", place(user, timespent=10))
    assert view(server, place(user))["timespent"] == 10


def test_same_message_id_with_another_body_is_another_message(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user)
    _update(server, "m-1", place(user, timespent=10))
    _update(server, "m-1", place(user, timespent=11))
    _update(server, "m-1", place(user, timespent=10, progressDetails={"page": 2}))
    _update(server, "m-2", place(user, timespent=10))
    assert view(server, place(user))["timespent"] == 41


def test_without_a_message_id_every_call_counts(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user)
    for _ in range(3):
        _update(server, None, place(user, timespent=10))
    assert view(server, place(user))["timespent"] == 30


def test_one_message_id_for_two_learners_counts_for_both(server: Server, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    for user in (rahul, meera):
        _started(server, user)
        _update(server, "m-1", place(user, timespent=10))
    assert [view(server, place(user))["timespent"] for user in (rahul, meera)] == [10, 10]


def test_repeated_end_completes_once(server: Server, learner: Learner) -> None:
    user = learner()
    _started(server, user)
    for _ in range(2):
        _update(server, "m-end", place(user, timespent=10), END)
    item = view(server, place(user))
    assert (item["status"], item["timespent"]) == (2, 10)


# --- the instance's own switch --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two processes whose admin turns "force view end" on and off."""
    with servers.running(tmp_path_factory.mktemp("forcing"), VIEWER_SERVER_PROCESSES="2") as running:
        yield running


def _switch(server: Server, on: bool) -> None:
    change = f"Instance.objects.update_or_create(pk=1, defaults={{'force_view_end': {on}}})"
    done = server.manage("shell", "-c", f"from modes.models import Instance; {change}")
    assert done.returncode == 0, done.stderr


def _ends_of_new_connections(server: Server, learner: Learner) -> set[int]:
    """The statuses of unforced ends without a start, each over a connection of its own: both processes are asked."""
    statuses = set()
    for _ in range(12):
        answer = server.call(END, place(learner()), headers={"Connection": "close"})
        statuses.add(answer.status_code)
    return statuses


def _soon(server: Server, learner: Learner, wanted: set[int]) -> None:
    deadline = time.monotonic() + 5
    while (found := _ends_of_new_connections(server, learner)) != wanted:
        assert time.monotonic() < deadline, found


def test_switch_force_view_end_is_noticed_by_every_process_and_can_be_turned_back(
    forcing: Server, learner: Learner
) -> None:
    assert _ends_of_new_connections(forcing, learner) == {404}
    _switch(forcing, True)
    _soon(forcing, learner, {200})
    user = learner()
    forcing.result(END, place(user))
    assert view(forcing, place(user))["status"] == 2
    refusal(forcing.call(UPDATE, place(user, DOUBLE)), 404, "ERR_VIEW_NOT_STARTED")
    _switch(forcing, False)
    _soon(forcing, learner, {404})


# --- reads ----------------------------------------------------------------------------------------------------------


def test_read_of_one_content_as_text_or_list_is_the_same(server: Server, learner: Learner) -> None:
    user = learner()
    _completed(server, user)
    assert server.result(READ, place(user)) == server.result(READ, place(user, contentId=[SINGLE]))


def test_read_of_a_list_answers_each_once_in_its_order(server: Server, learner: Learner) -> None:
    user = learner()
    _completed(server, user)
    found = contents(server, place(user, contentId=[DOUBLE, "", SINGLE, "do_none", f" {DOUBLE} ", SINGLE]))
    assert [(item["contentId"], item["status"]) for item in found] == [(DOUBLE, 0), (SINGLE, 2), ("do_none", 0)]


def test_content_without_a_row_is_not_started(server: Server, learner: Learner) -> None:
    assert view(server, place(learner())) == {
        "identifier": SINGLE,
        "contentId": SINGLE,
        "collectionId": MATHS,
        "contextId": BATCH,
        "status": 0,
        "progress": 0,
        "score": None,
        "max_score": None,
        "progressDetails": {},
        "lastAccessTime": None,
        "lastCompletedTime": None,
        "viewCount": 0,
        "timespent": 0,
        "origin": None,
    }


@pytest.mark.parametrize("nothing", [{}, {"contentId": None}, {"contentId": ""}, {"contentId": []}], ids=str)
def test_whole_collection_has_all_its_leaves_in_course_order(
    server: Server, learner: Learner, nothing: dict[str, Any]
) -> None:
    user = learner()
    server.result(START, place(user, TRIPLE))
    server.result(END, place(user, TRIPLE))
    server.result(START, place(user, "aaa-not-in-the-course"))
    found = contents(server, {"userId": user, "collectionId": MATHS, "contextId": BATCH, **nothing})
    assert [(item["contentId"], item["status"]) for item in found] == [
        (SINGLE, 0),
        (DOUBLE, 0),
        (TRIPLE, 2),
        ("aaa-not-in-the-course", 1),
    ]
    assert {(item["collectionId"], item["contextId"]) for item in found} == {(MATHS, BATCH)}


def test_whole_collection_without_a_context_is_its_own_context(server: Server, learner: Learner) -> None:
    user = learner()
    _completed(server, user)
    result = server.result(READ, {"userId": user, "collectionId": MATHS})
    assert result["contextId"] == MATHS
    items: Any = result["contents"]
    assert [item["status"] for item in items] == [0, 0, 0]


def test_unknown_collection_answers_what_the_learner_did_there(server: Server, learner: Learner) -> None:
    user = learner()
    where = {"userId": user, "collectionId": "do_unheard_of", "contextId": "b"}
    assert contents(server, where) == []
    for content in ("do_2", "do_1"):
        server.result(START, {**where, "contentId": content})
    assert [item["contentId"] for item in contents(server, where)] == ["do_1", "do_2"]


def test_list_without_a_collection_reads_each_organic_row(server: Server, learner: Learner) -> None:
    user = learner()
    _completed(server, user)
    server.result(END, {"userId": user, "contentId": DOUBLE, "force": True})
    result = server.result(READ, {"userId": user, "contentId": [SINGLE, DOUBLE]})
    assert (result["collectionId"], result["contextId"]) == (None, None)
    items: Any = result["contents"]
    shown = [(item["collectionId"], item["contextId"], item["contentId"], item["status"]) for item in items]
    assert shown == [(SINGLE, SINGLE, SINGLE, 0), (DOUBLE, DOUBLE, DOUBLE, 2)]


def test_thousand_contents_are_read_at_once(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(START, {"userId": user, "contentId": "do_777"})
    found = contents(server, {"userId": user, "contentId": [f"do_{n}" for n in range(1000)]})
    assert [item["contentId"] for item in found if item["status"]] == ["do_777"]
    assert len(contents(server, place(user, contentId=[f"do_{n}" for n in range(1000)]))) == 1000


def test_reads_never_write(server: Server, learner: Learner) -> None:
    user = learner()
    first = _started(server, user)
    for request in (place(user), {"userId": user, "contentId": [SINGLE]}, {"userId": user, "collectionId": MATHS}):
        contents(server, request)
    assert view(server, place(user)) == first
    refusal(server.call(END, {"userId": user, "contentId": SINGLE}), 404, "ERR_VIEW_NOT_STARTED")


def test_nobody_reads_another_learners_rows(server: Server, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    for content in (SINGLE, DOUBLE):
        server.result(END, place(rahul, content, force=True))
        server.result(END, {"userId": rahul, "contentId": content, "force": True})
    lookalikes = [meera, rahul.upper(), f"{rahul}%", f"{rahul[:-1]}_", f"{rahul} x", rahul[:-1]]
    for other in lookalikes:
        for where in (
            {"collectionId": MATHS, "contextId": BATCH},
            {"collectionId": MATHS},
            {"contentId": [SINGLE, DOUBLE]},
        ):
            found = contents(server, {"userId": other, **where})
            assert {item["status"] for item in found} <= {0}


def test_nobody_writes_another_learners_rows(server: Server, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    first = _started(server, rahul)
    refusal(server.call(UPDATE, place(meera, timespent=5)), 404, "ERR_VIEW_NOT_STARTED")
    server.result(END, place(meera, force=True))
    assert view(server, place(rahul)) == first
