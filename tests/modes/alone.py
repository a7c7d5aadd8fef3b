"""An instance of a test's own process that has the sample catalogue, and no learners but the test's."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from django.apps import apps

from catalogue import api as catalogue
from catalogue.loader import load
from catalogue.reading import read
from common.rows import ContextKey, Enrolment, RowKey
from modes import policy
from modes.rules import Kind, Rule, RuleSet
from tests.servers import ROOT
from tests.viewer.events import at, view
from viewer import aggregator, carrying
from viewer.lifecycle import Verb
from viewer.store import get_store

MATHS, BATCH, OTHER, PROGRAM = "class-1-maths", "batch-1", "batch-2", "program-batch-1"
SINGLE, DOUBLE = "single-digit-addition", "double-digit-addition"
SAMPLE = ROOT / "catalogue" / "sample" / "catalogue.json"
MONTHS = RuleSet(rules=(Rule(Kind.COMPLETED_WITHIN, "months", 3),))


@contextmanager
def school(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Such an instance, strict and without rules, for the length of a block within a test's transaction."""
    for model in apps.get_app_config("viewer").get_models():  # other tests leave theirs
        model._default_manager.all().delete()
    catalogue.forget_hierarchies()
    monkeypatch.setattr(catalogue._hierarchies, "_recheck_seconds", 3600.0)
    load(read(SAMPLE.read_text(encoding="utf-8")))
    assert catalogue.hierarchy(MATHS)
    policy.forget()
    yield
    policy.forget()
    catalogue.forget_hierarchies()


def enrol(user: str, context: str = BATCH, collection: str = MATHS, minute: float = 10) -> None:
    """In the minutes of `tests.viewer.events`, as everything here."""
    key = ContextKey(user, collection, context)
    assert get_store().save_enrolment(Enrolment(*key, enrolled_date=at(minute), updated_at=at(minute)), 0, at(minute))


def complete(user: str, content: str, context: str | None = None, collection: str = MATHS, minute: float = 0) -> None:
    """By itself, where no context is named."""
    place = (collection, context) if context else (content, content)
    get_store().apply(RowKey(user, *place, content), view(Verb.END, minute, force=True))


def begin(user: str, content: str, context: str) -> None:
    get_store().apply(RowKey(user, MATHS, context, content), view(Verb.START))


def carry(user: str, now: datetime) -> int:
    """Carries what may be carried, and adds it up; how much."""
    carried = carrying.carry(user, now, trigger="command")
    aggregator.fold_learner(user, now)
    return len(carried)
