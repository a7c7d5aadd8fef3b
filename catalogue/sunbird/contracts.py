"""Sunbird's public answers as rows of the catalogue: what each call is asked, and what its answer must be.

Pure. Keys not named here are tolerated. An answer that breaks its contract is Malformed as a whole; of a list, an
entry that does is left out and counted, so that one bad batch or learner does not hide the others.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from catalogue.entries import below, kind
from catalogue.hierarchy import is_leaf, node_id
from catalogue.reading import BadCatalogueFile, Document, read_object

USERS_AT_ONCE = 100  # in one search
BATCHES_AT_ONCE = 200  # in one page of a list
USER_SEARCH = "/private/user/v1/search"
BATCH_LIST = "/v1/course/batch/list"
_USER_FIELDS = (
    *("userId", "firstName", "lastName", "email", "phone", "rootOrgId", "rootOrgName", "rootOrg", "organisations"),
    *("profileUserType", "userLocations", "framework"),
)
_PLACES = ("state", "district", "block", "cluster")
_NO_SUCH_BATCH = {"INVALID_COURSE_BATCH_ID", "RESOURCE_NOT_FOUND"}


class Malformed(Exception):
    """An answer that is not what its contract promises. Its text names places and never says what was there."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one answer with many entries held: their rows, how many entries it had, and how many were malformed.

    total: how many the service says there are altogether; None when it says nothing of it.
    """

    document: Document
    entries: int
    refused: int
    total: int | None


# --- what is asked -----------------------------------------------------------------------------------------------


def hierarchy_path(collection_id: str) -> str:
    """The path of a collection's tree as published."""
    return f"/content/v3/hierarchy/{quote(collection_id, safe='')}"


def batch_path(batch_id: str) -> str:
    """The path of one batch."""
    return f"/v1/course/batch/read/{quote(batch_id, safe='')}"


def batch_list(collection_id: str, offset: int) -> dict[str, Any]:
    """The body that asks for one page of a collection's batches."""
    filters = {"courseId": [collection_id]}
    return {"request": {"filters": filters, "limit": BATCHES_AT_ONCE, "offset": offset}}


def user_search(user_ids: Sequence[str]) -> dict[str, Any]:
    """The body that asks for these learners, at most USERS_AT_ONCE."""
    filters = {"userId": list(user_ids)}
    return {"request": {"filters": filters, "fields": list(_USER_FIELDS), "limit": len(user_ids), "offset": 0}}


# --- what is answered --------------------------------------------------------------------------------------------


def parsed(body: bytes) -> Any:
    """The JSON of an answer. Raises Malformed."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None


def says_unknown(status: int, answer: object) -> bool:
    """Whether a refusal means that there is no such thing: 404, or the batch service's own way to say so.

    Only in Sunbird's envelope: a gateway that has lost its route answers 404 as well.
    """
    params = answer.get("params") if isinstance(answer, Mapping) else None
    if not isinstance(params, Mapping):
        return False
    return status == 404 or (status == 400 and str(params.get("err")) in _NO_SUCH_BATCH)


def hierarchy(answer: object, collection_id: str) -> Document | None:
    """The collection with the child courses of its tree; None where the id is a content and no collection."""
    content = _object(_result(answer).get("content"), "result.content")
    if node_id(content) != collection_id:
        raise Malformed("result.content.identifier: not the one that was asked for")
    return None if is_leaf(content) else _read("collections", content)


def batch(answer: object, batch_id: str) -> Document | None:
    """The batch; None where the answer holds none, which is how the service says that it is unknown."""
    response = _result(answer).get("response")
    if response is None or response == {}:
        return None
    document = _batch(_object(response, "result.response"))
    if batch_id not in document.batches:
        raise Malformed("result.response.batchId: not the one that was asked for")
    return document


def batches(answer: object, collection_id: str) -> Listed:
    """One page of a collection's batches. One of another collection counts as malformed."""

    def read_one(given: Mapping[str, Any]) -> Document:
        document = _batch(given)
        if any(row["collection_id"] != collection_id for row in document.batches.values()):
            raise Malformed("courseId: not the one that was asked for")
        return document

    return _listed(answer, read_one)


def learners(answer: object, user_ids: Iterable[str]) -> Listed:
    """The learners found by a search. One nobody asked for counts as malformed."""
    wanted = set(user_ids)

    def read_one(given: Mapping[str, Any]) -> Document:
        document = _read("learners", _profile(given))
        if not wanted.issuperset(document.learners):
            raise Malformed("userId: not one that was asked for")
        return document

    return _listed(answer, read_one)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _result(answer: object) -> Mapping[str, Any]:
    return _object(_object(answer, "the answer").get("result"), "result")


def _listed(answer: object, read_one: Callable[[Mapping[str, Any]], Document]) -> Listed:
    response = _object(_result(answer).get("response"), "result.response")
    entries = _list(response.get("content"), "result.response.content")
    whole = Document()
    refused = 0
    for entry in entries:
        try:
            document = read_one(_object(entry, "result.response.content[]"))
        except Malformed:
            refused += 1
        else:
            whole.batches.update(document.batches)
            whole.learners.update(document.learners)
    total = response.get("count")
    return Listed(whole, len(entries), refused, total if isinstance(total, int) else None)


def _batch(given: Mapping[str, Any]) -> Document:
    """The service names a batch by any of three keys, depending on where it looked it up."""
    batch_id = given.get("batchId") or given.get("identifier") or given.get("id")
    return _read("batches", {**given, "batchId": batch_id})


def _profile(given: Mapping[str, Any]) -> dict[str, Any]:
    """A user as an entry of a catalogue file: names of places instead of lists of them."""
    located = _located(given)
    school = located.get("school", {})
    user_type = _object(given.get("profileUserType") or {}, "profileUserType")
    board = _object(given.get("framework") or {}, "framework").get("board")
    return {
        "userId": given.get("userId") or given.get("identifier") or given.get("id"),
        **{key: given.get(key) for key in ("firstName", "lastName", "email", "phone", "rootOrgId")},
        **{place: located.get(place, {}).get("name") for place in _PLACES},
        "orgName": _root_org_name(given),
        "schoolName": school.get("name"),
        "schoolUdiseCode": school.get("code"),
        "userType": user_type.get("type"),
        "userSubType": user_type.get("subType"),
        "board": next(iter(board), None) if isinstance(board, list) else board,
    }


def _located(given: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Where the learner is, by kind of place."""
    places = [_object(one, "userLocations[]") for one in _list(given.get("userLocations"), "userLocations")]
    return {str(place.get("type")).lower(): place for place in places}


def _root_org_name(given: Mapping[str, Any]) -> object:
    """The name of the learner's root organisation, wherever this answer has it."""
    root = _object(given.get("rootOrg") or {}, "rootOrg")
    organisations = [_object(one, "organisations[]") for one in _list(given.get("organisations"), "organisations")]
    named = [one.get("orgName") for one in organisations if one.get("organisationId") == given.get("rootOrgId")]
    return given.get("rootOrgName") or root.get("orgName") or next(iter(named), None)


def _read(list_name: str, entry: Mapping[str, Any]) -> Document:
    """The rows of one entry of a catalogue file's list."""
    try:
        return read_object({list_name: [entry]})
    except BadCatalogueFile as bad:
        # The first few places only, and no message: a message quotes what was there.
        raise Malformed(", ".join(problem.place for problem in bad.problems[:3])) from None
    except RecursionError:
        raise Malformed(below(list_name, "nested too deeply")) from None


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Malformed(f"{place}: {kind(value)} where an object must be")
    return value


def _list(value: object, place: str) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Malformed(f"{place}: {kind(value)} where a list must be")
    return value
