"""A submit that dies between its two steps, on each database: its replay completes the view."""

from collections.abc import Callable
from typing import Any

import pytest

from common.errors import Unavailable
from common.identity import Caller
from common.rows import ActivityAgg, ContextKey, RowKey, Status
from common.timestamps import to_epoch_ms
from tests.viewer.events import at
from viewer import aggregator, assessing, progress, tasks
from viewer.inputs import AssessmentReadInput, SubmitInput
from viewer.lifecycle import ViewEvent
from viewer.store.port import Applied, Store

Learner = Callable[..., str]


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch, store: Store) -> list[str]:
    """The learners a worker was asked to fold; everything else runs on `store`."""
    asked: list[str] = []
    monkeypatch.setattr(tasks, "wake", asked.append)
    for module in (assessing, aggregator):
        monkeypatch.setattr(module, "get_store", lambda: store)
    return asked


def submit(user: str, minute: float = 10, score: float = 1, attempt_id: str | None = "A") -> None:
    answer = {"questionId": "q1", "score": score, "maxScore": 5}
    given = SubmitInput(
        user_id=user, content_id="quiz", collection_id="course", context_id="batch", attempt_id=attempt_id,
        assessments=[answer], assessment_ts=to_epoch_ms(at(minute)),
    )  # fmt: skip
    assessing.submit(Caller(None), given, msgid=None, fields={}, now=at(60))


def key_of(user: str) -> RowKey:
    return RowKey(user, "course", "batch", "quiz")


def test_submit_that_died_after_the_attempt_is_completed_by_its_replay(
    store: Store, woken: list[str], learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = learner()

    def dies(key: RowKey, event: ViewEvent) -> Applied:
        raise Unavailable("gone")

    with monkeypatch.context() as broken:
        broken.setattr(store, "apply", dies)
        with pytest.raises(Unavailable):
            submit(user)
    assert [one.attempt_id for one in store.attempts([key_of(user)])] == ["A"]
    assert store.rows([key_of(user)]) == []
    assert [mark.key for mark in store.marks(user)] == [key_of(user).context], "the attempt alone is folded too"
    submit(user)
    (row,) = store.rows([key_of(user)])
    assert (row.status, row.own_completed_time) == (Status.COMPLETED, at(10))
    assert len(store.attempts([key_of(user)])) == 1


def test_worker_is_woken_by_what_is_new_and_not_by_a_replay(store: Store, woken: list[str], learner: Learner) -> None:
    user = learner()
    submit(user)
    assert woken == [user]
    aggregator.fold_learner(user, at(61))
    submit(user)
    submit(user, minute=12, score=0)
    assert woken == [user, user]
    submit(user, minute=11)
    assert woken == [user, user]


def test_view_read_assessment_read_and_aggregate_agree(store: Store, woken: list[str], learner: Learner) -> None:
    user = learner()
    for name, score in (("A", 2), ("B", 4), ("C", 3)):
        submit(user, score=score, attempt_id=name)
    given = AssessmentReadInput(user_id=user, collection_id="course", context_id="batch")
    result: dict[str, Any] = assessing.read(Caller(None), given, at(61))
    (item,) = result["contents"]
    context = ContextKey(user, "course", "batch")
    told = store.aggs([context])[context].aggregates
    facts = progress.content_facts(store.sources(context))["quiz"]
    names = ("score", "max_score", "attempts")
    assert [item[name] for name in names] == [facts[name] for name in names] == [4.0, 5.0, 3]
    assert [told[f"{name}:quiz"] for name in ("score", "max_score", "attempts_count")] == [4.0, 5.0, 3.0]
    assert store.aggs([context])[context] != ActivityAgg(context), "the read folded what was pending"
