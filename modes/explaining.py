"""Decisions in plain sentences, for learners, support and operators. Pure: the words of what `modes.carry` decided."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from common.rows import ContextKey, RowKey
from modes.carry import Decision, Judgement, Reason
from modes.keys import Mode
from modes.move import MoveDecision, MoveReason
from modes.rules import Match, RuleSet

MODES = {
    Mode.STRICT: "Progress counts only in the context it was made in, and what was carried there is hidden",
    Mode.NO_CONTEXT_CONTENT: "A content that was completed anywhere is complete everywhere",
    Mode.NO_CONTEXT_COLLECTION: "Progress in a collection counts in every batch and program of that collection",
    Mode.COPY_CONTENT: "Completions are copied into enrolments as the rules say, from anywhere",
    Mode.COPY_COLLECTION: "Completions in collections, and all later ones, are copied into enrolments as the rules say",
    Mode.MOVE: "Enrolling in a program moves a collection's progress there from the batches that are under way",
}
REFUSALS = {
    Reason.MODE: "This mode carries nothing.",
    Reason.NOT_ENROLLED: "Nothing is carried here, because the learner's enrolment is not active.",
    Reason.NO_ACTIVATION: "Nothing is carried here, because the enrolment has no date.",
    Reason.UNKNOWN_BATCH: "Nothing is carried here, because the batch is not known.",
    Reason.BATCH_ENDED: "Nothing is carried here, because the batch has ended.",
    Reason.OTHER_TARGET: "Nothing is carried here, because the rules are for another kind of enrolment.",
    Reason.NO_RULES: "Nothing is carried here, because there are no rules that would carry anything.",
    Reason.OWN_COMPLETION: "Nothing is carried here, because the learner completed it here himself.",
    Reason.CARRIED: "It has been carried here already.",
    Reason.UNDONE: "Nothing is carried here, because an operator took it back.",
}
VERDICTS = {
    Reason.NO_TIME: "it has no completion time to judge by",
    Reason.ORGANIC_BEFORE: "it was done by itself, outside any collection, before the enrolment",
    Reason.RULES: "the rules do not allow it",
    Reason.NOT_FIRST: "the rules allow it, but another one could come earlier",
    Reason.TAKEN: "the rules allow it",
}
MOVE_VERDICTS = {
    MoveReason.MODE: "nothing is moved in this mode",
    MoveReason.NOT_ENROLLED: "the learner's enrolment in the program is not active",
    MoveReason.NO_ACTIVATION: "the enrolment in the program has no date",
    MoveReason.UNKNOWN_BATCH: "the program's batch is not known",
    MoveReason.NOT_PROGRAM: "only a program receives",
    MoveReason.BATCH_ENDED: "the program's batch has ended",
    MoveReason.NO_RULES: "there are no rules that would move anything",
    MoveReason.OTHER_TARGET: "the rules are for another kind of enrolment",
    MoveReason.LEFT: "the learner is not enrolled in the old batch",
    MoveReason.UNKNOWN_SOURCE: "the old batch is not known",
    MoveReason.PROGRAM_SOURCE: "the old batch is a program's too",
    MoveReason.NOT_ONGOING: "the old batch was not under way then",
    MoveReason.UNDONE: "an operator took it back",
    MoveReason.MOVED: "it was moved already, and what is done there since begins anew",
    MoveReason.ENROLLED_BEFORE: "the learner enrolled before this mode was set; carry_forward moves it",
    MoveReason.JOINED_LATER: "the learner joined the old batch after the program; carry_forward moves it",
    MoveReason.RULES: "the rules do not allow it",
    MoveReason.TAKEN: "the rules allow it",
}
"""What is made of one pair of an old batch and a program."""


def moment(time: datetime | None, zone: ZoneInfo) -> str:
    """A time as people read it, to the second and with its zone."""
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if time else "an unknown time"


def place(key: RowKey) -> str:
    """Where a row is, in words."""
    if key.collection_id == key.content_id:
        return "by itself"
    if key.context_id == key.collection_id:
        return f"in {key.collection_id}"
    return f"in {key.collection_id}, {key.context_id}"


def context(key: ContextKey) -> str:
    """A context, in words."""
    return f"{key.collection_id}, {key.context_id}" if key.context_id != key.collection_id else key.collection_id


def copied_words(decision: Decision) -> str:
    """What was copied to where."""
    return f"{decision.key.content_id} {place(decision.key)}"


def moved_words(decision: MoveDecision) -> str:
    """What was moved from where to where."""
    return f"{context(decision.source)} into {decision.target.context_id}"


def rules_sentence(rules: RuleSet) -> str:
    """What the rules ask for."""
    if not rules.rules:
        return "There are no rules, so nothing is carried."
    joined = (" or " if rules.match is Match.ANY else " and ").join(str(rule) for rule in rules.rules)
    return f"The rules (version {rules.version}) ask: {joined}."


def judgement_sentence(judgement: Judgement, zone: ZoneInfo) -> str:
    """What was made of one candidate, with its dates."""
    candidate = judgement.candidate
    told = f"Completed {place(candidate.row.key)} on {moment(candidate.completed, zone)}: {VERDICTS[judgement.reason]}"
    if judgement.evaluated_at is None:
        return f"{told}."
    checks = "; ".join(f"{check.rule}: {'yes' if check.holds else 'no'}" for check in judgement.checks)
    return f"{told} (judged as of {moment(judgement.evaluated_at, zone)}: {checks or 'no rules'})."


def move_sentence(decision: MoveDecision, zone: ZoneInfo) -> str:
    """What was decided about one old batch and one program, with its dates."""
    told = f"From {decision.source.context_id} into {decision.target.context_id}: {MOVE_VERDICTS[decision.reason]}"
    if decision.evaluated_at is None:
        return f"{told}."
    checks = "; ".join(f"{check.rule}: {'yes' if check.holds else 'no'}" for check in decision.checks)
    return f"{told} (judged as of {moment(decision.evaluated_at, zone)}{f': {checks}' if checks else ''})."


def moves_sentences(decisions: Sequence[MoveDecision], zone: ZoneInfo) -> list[str]:
    """What was decided about all of them."""
    if not decisions:
        return ["The learner is nowhere else in this collection, so nothing could be moved."]
    return [rules_sentence(decisions[0].policy.rules), *(move_sentence(one, zone) for one in decisions)]


def decision_sentences(decision: Decision, zone: ZoneInfo) -> list[str]:
    """Why something is carried to this place, or why nothing is."""
    sentences = [REFUSALS[decision.refusal]] if decision.refusal else []
    if decision.refusal is Reason.MODE:
        return sentences
    sentences.append(rules_sentence(decision.rules))
    if not decision.judgements:
        sentences.append("The learner has not completed this content anywhere else.")
    return [*sentences, *(judgement_sentence(one, zone) for one in decision.judgements)]
