"""Ids on the wire (DESIGN §4): every spelling of their names, and what an id may and may not look like."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.api.wire import BATCH, CALLS, END, MATHS, READ, SINGLE, START, UPDATE, contents, place, refusal, view
from tests.servers import Server

Learner = Callable[..., str]

COLLECTION_NAMES = ("collectionId", "courseId", "collection")
CONTEXT_NAMES = ("contextId", "batchId")


def _cases(name: str) -> Iterator[str]:
    yield from dict.fromkeys([name, name.lower(), name.upper(), name.title(), name.swapcase()])


def _spellings(names: tuple[str, ...]) -> list[str]:
    return [spelling for name in names for spelling in _cases(name)]


@pytest.mark.parametrize("spelling", _spellings(COLLECTION_NAMES))
def test_every_spelling_of_the_collection_is_read(server: Server, learner: Learner, spelling: str) -> None:
    user = learner()
    server.result(START, {"userId": user, spelling: MATHS, "contextId": BATCH, "contentId": SINGLE})
    assert view(server, place(user))["status"] == 1
    read = {"userId": user, spelling: MATHS, "contextId": BATCH, "contentId": SINGLE}
    assert view(server, read)["status"] == 1


@pytest.mark.parametrize("spelling", _spellings(CONTEXT_NAMES))
def test_every_spelling_of_the_context_is_read(server: Server, learner: Learner, spelling: str) -> None:
    user = learner()
    server.result(START, {"userId": user, "collectionId": MATHS, spelling: BATCH, "contentId": SINGLE})
    assert view(server, place(user))["status"] == 1
    assert view(server, {"userId": user, "courseId": MATHS, spelling: BATCH, "contentId": SINGLE})["status"] == 1


@pytest.mark.parametrize("user_name", list(_cases("userId")))
@pytest.mark.parametrize("content_name", list(_cases("contentId")))
def test_every_spelling_of_user_and_content_is_read(
    server: Server, learner: Learner, user_name: str, content_name: str
) -> None:
    user = learner()
    server.result(START, {user_name: user, content_name: SINGLE})
    assert view(server, {user_name: user, content_name: SINGLE})["status"] == 1


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", None], ids=["empty", "blank", "tabs", "nbsp", "null"])
@pytest.mark.parametrize("names", [("collectionId", "contextId"), ("courseId", "batchId")], ids="+".join)
def test_blank_id_counts_as_absent(server: Server, learner: Learner, blank: str | None, names: tuple[str, str]) -> None:
    user = learner()
    server.result(START, {"userId": user, "contentId": SINGLE, names[0]: blank, names[1]: blank})
    assert view(server, {"userId": user, "contentId": SINGLE})["collectionId"] == SINGLE
    answer = server.call(START, {"userId": user, "contentId": blank, "collectionId": MATHS})
    refusal(answer, 400, "ERR_MISSING_FIELD")
    refusal(server.call(START, {"userId": blank, "contentId": SINGLE}), 400, "ERR_MISSING_FIELD")


def test_blank_name_beside_a_filled_one_does_not_conflict(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(START, {**place(user), "courseId": " ", "batchId": None, "collection": ""})
    assert view(server, place(user))["status"] == 1


@pytest.mark.parametrize(
    "names",
    [
        *itertools.combinations(COLLECTION_NAMES, 2),
        *itertools.combinations(CONTEXT_NAMES, 2),
        ("collectionId", "collectionid"),
        ("batchId", "BATCHID"),
        ("userId", "userid"),
        ("contentId", "contentid"),
    ],
    ids="+".join,
)
def test_two_names_of_one_id_must_agree(server: Server, learner: Learner, names: tuple[str, str]) -> None:
    user = learner()
    wanted = {"user": user, "cont": SINGLE, "coll": MATHS, "cour": MATHS, "batc": BATCH}
    wanted["cont"] = BATCH if names[0].lower().startswith("context") else SINGLE
    value = wanted[names[0][:4].lower()]
    others = {
        name: given
        for name, given in place(user).items()
        if name.lower() not in {spelling.lower() for spelling in names}
        and not (name == "contextId" and "batchId" in names)
        and not (name == "collectionId" and "courseId" in names)
    }
    equal = {**others, names[0]: value, names[1]: f"  {value} "}
    server.result(START, equal)
    assert view(server, place(user))["status"] == 1
    for path in CALLS[:4]:
        body = refusal(server.call(path, {**equal, names[1]: "another"}), 400, "ERR_CONFLICTING_IDS")
        assert len(body["result"]) == 1
    for item in contents(server, {"userId": user, "contentId": ["another"], "collectionId": MATHS}):
        assert item["status"] == 0


GOOD = {
    "long": "x" * 256,
    "long after trimming": "  " + "y" * 256 + "  ",
    "batch of a child course": f"batch-1:{MATHS}",
    "colons": "f:keycloak:0a1b",
    "hindi": "एक-अंक-का-जोड़",
    "combined and single é differ": "e\u0301",
    "chinese": "一位数加法",
    "emoji": "🧮\u2795👩🏽‍🏫",
    "emoji as many as fit": "🧮" * 128,
    "quotes": 'it\'s "fine"',
    "backticks": "`a`",
    "percent": "100% %s %(name)s %%",
    "sql": "'; DROP TABLE user_content_consumption; --",
    "sql comment": "a--b #",
    "leading digit": "0do_123",
    "only digits": "123456",
    "json path": "$.x",
    "json path root": "$",
    "json path index": "a[0].b",
    "json path quoted": '$."x"',
    "json text": '{"a": 1}',
    "null word": "null",
    "dot": ".",
    "inner blank": "a b",
    "comma": "a,b",
    "braces": "{user}:x",
    "html": "<script>alert(1)",
    "csv formula": "=1+1",
    "star": "*",
    "underscore like wildcard": "_%",
    "zero width": "a\u200bb",
}


@pytest.mark.parametrize("given", GOOD.values(), ids=GOOD)
def test_any_such_id_is_kept_as_it_is(server: Server, learner: Learner, given: str) -> None:
    """In every place at once, and as a key of the details: no store may read it as a path, a pattern or SQL."""
    user, plain = learner("r") + given[:100], given.strip()
    where = {"userId": user, "collectionId": given, "contextId": given, "contentId": given}
    details = {"progress": 40, plain: plain}
    assert server.result(START, where) == {plain: "Progress started"}
    server.result(UPDATE, {**where, "timespent": 2.5, "progressDetails": details}, headers={"x": "1"})
    for read in (where, {**where, "contentId": None}, {**where, "contentId": [given]}):
        item = view(server, read)
        assert (item["contentId"], item["identifier"]) == (plain, plain)
        assert (item["collectionId"], item["contextId"]) == (plain, plain)
        assert (item["status"], item["progress"], item["timespent"]) == (1, 40, 2.5)
        assert item["progressDetails"] == details
    neighbour = {**where, "contentId": given[: max(1, len(plain) // 2)] + "~"}
    assert view(server, neighbour)["status"] == 0
    server.result(END, where)
    assert view(server, where)["status"] == 2


def test_ids_that_only_look_alike_are_two(server: Server, learner: Learner) -> None:
    user = learner()
    for one, other in (("é", "e\u0301"), ("do_1", "DO_1"), ("a", "a\u200b"), ("1", "\u0661")):
        server.result(START, {"userId": user, "contentId": one})
        assert [item["status"] for item in contents(server, {"userId": user, "contentId": [one, other]})] == [1, 0]


def test_outer_blanks_are_trimmed_everywhere(server: Server, learner: Learner) -> None:
    user = learner()
    padded = {name: f" \t{value}\u00a0" for name, value in place(user).items()}
    assert server.result(START, padded) == {SINGLE: "Progress started"}
    assert view(server, place(user))["status"] == 1
    assert view(server, padded)["contentId"] == SINGLE
    found = server.result(READ, padded)
    assert (found["userId"], found["collectionId"], found["contextId"]) == (user, MATHS, BATCH)


BAD = {
    "257 characters": "x" * 257,
    "257 emoji": "🧮" * 257,
    "very long": "x" * 100_000,
    "nul": "a\x00b",
    "newline": "a\nb",
    "escape": "a\x1bb",
    "delete": "a\x7fb",
    "c1 control": "a\x85b",
    "line separator": "a\u2028b",
    "slash": "a/b",
    "backslash": "a\\b",
    "parent folder": "a..b",
    "two dots": "..",
    "path": "../../etc/passwd",
}


@pytest.mark.parametrize("field", ["userId", "collectionId", "contextId", "contentId"])
@pytest.mark.parametrize("given", BAD.values(), ids=BAD)
def test_no_such_id_is_taken(server: Server, learner: Learner, given: str, field: str) -> None:
    user = learner()
    for path in CALLS[:4]:
        body = refusal(server.call(path, place(user) | {field: given}), 400, "ERR_INVALID_ID")
        assert list(body["result"]) == [field]
        assert body["params"]["errmsg"].startswith(field)
        assert len(body["params"]["errmsg"]) < 200
    assert view(server, place(user))["status"] == 0


def test_id_of_more_than_512_bytes_is_refused_by_name(server: Server, learner: Learner) -> None:
    """256 characters is the rule; 512 bytes is what an index of PostgreSQL takes for a key of four ids."""
    body = refusal(server.call(START, {"userId": learner(), "contentId": "ह" * 171}), 400, "ERR_INVALID_ID")
    assert body["params"]["errmsg"] == "contentId is longer than 512 bytes"
    server.result(START, {"userId": learner(), "contentId": "ह" * 170})


def test_federated_user_id_means_its_last_part(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(START, place(f"f:keycloak-1:{user}"))
    assert view(server, place(user))["status"] == 1
    assert server.result(READ, place(f"f:another:{user}"))["userId"] == user


def test_composite_context_is_not_its_batch(server: Server, learner: Learner) -> None:
    user = learner()
    server.result(START, place(user, contextId=f"{BATCH}:{MATHS}"))
    assert view(server, place(user, contextId=f"{BATCH}:{MATHS}"))["status"] == 1
    assert view(server, place(user))["status"] == 0
