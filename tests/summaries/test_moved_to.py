"""An enrolment whose progress was moved away says where to: in the list, in the record and in the explanation."""

from typing import Any

import pytest
from django.test import Client

from common.rows import Enrolment
from tests.summaries.wire import SUMMARY, Learner
from tests.viewer.events import at
from viewer.store import get_store

pytestmark = pytest.mark.django_db
COLLECTION, PROGRAM = "unlisted-course", "program-batch-1"


@pytest.fixture
def rahul(learner: Learner) -> str:
    """A learner whose progress in batch-1 was moved to a program's batch, and in batch-2 was not."""
    user_id = learner("Rahul")
    for day, (context, moved_to) in enumerate((("batch-2", None), ("batch-1", PROGRAM))):
        enrolment = Enrolment(user_id, COLLECTION, context, enrolled_date=at(day), moved_to=moved_to)
        assert get_store().save_enrolment(enrolment, 0, at(9))
    return user_id


def told(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    result: dict[str, Any] = answer.json()["result"]
    return result


def explained(client: Client, user_id: str, context: str) -> str:
    asked = {"userId": user_id, "collectionId": COLLECTION, "contextId": context}
    return " ".join(told(client.get("/v1/summary/explain", asked))["sentences"])


def test_the_list_tells_it_of_each_enrolment(client: Client, rahul: str) -> None:
    listed = told(client.get(f"/v1/summary/list/{rahul}"))["summary"]
    assert {one["contextId"]: one["movedTo"] for one in listed} == {"batch-1": PROGRAM, "batch-2": None}


@pytest.mark.parametrize(("context", "moved_to"), [("batch-1", PROGRAM), ("batch-2", None)])
def test_a_single_record_tells_it(client: Client, rahul: str, context: str, moved_to: str | None) -> None:
    asked = {"request": {"userId": rahul, "collectionId": COLLECTION, "contextId": context}}
    record = told(client.post(SUMMARY, asked, content_type="application/json"))
    assert record["movedTo"] == record["summary"]["movedTo"] == moved_to


def test_the_explanation_says_it_in_words(client: Client, rahul: str) -> None:
    assert f"The progress here was moved to {PROGRAM}." in explained(client, rahul, "batch-1")
    assert "moved" not in explained(client, rahul, "batch-2")
