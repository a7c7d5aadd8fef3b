"""The events a completed enrolment causes, as the rest of the platform expects them (facts of the existing jobs). Pure.

Ids are made of the enrolment alone: a fold that runs twice writes the same events, and a reader can drop repeats.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.rows import Enrolment
from common.timestamps import to_epoch_ms

CERTIFICATES = "certificate.request"
AUDIT = "telemetry.audit"
_NAMESPACE = uuid.UUID("6f0b6c1e-8d0f-4f3c-9a51-3f2f6a2d7c11")


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event to publish at least once. id: stable; topic: where it belongs."""

    id: str
    topic: str
    payload: Mapping[str, Any]
    created_at: datetime


def completion_events(enrolment: Enrolment, now: datetime) -> list[OutboxEvent]:
    """The certificate request and the audit event of an enrolment that has just been completed."""
    return [
        OutboxEvent(_id("certificate", enrolment), CERTIFICATES, _certificate(enrolment, now), now),
        OutboxEvent(_id("enrol-complete", enrolment), AUDIT, _audit(enrolment, now), now),
    ]


def _id(kind: str, enrolment: Enrolment) -> str:
    return f"{kind}:{uuid.uuid5(_NAMESPACE, chr(0).join((kind, *enrolment.key)))}"


def _certificate(enrolment: Enrolment, now: datetime) -> dict[str, Any]:
    ets = to_epoch_ms(now)
    return {
        "eid": "BE_JOB_REQUEST",
        "ets": ets,
        "mid": f"LP.{ets}.{_id('certificate', enrolment).split(':')[1]}",
        "actor": {"id": "Course Certificate Generator", "type": "System"},
        "context": {"pdata": {"ver": "1.0", "id": "org.sunbird.platform"}},
        "object": {
            "id": f"{enrolment.context_id}_{enrolment.collection_id}",
            "type": "CourseCertificateGeneration",
        },
        "edata": {
            "userIds": [enrolment.user_id],
            "action": "issue-certificate",
            "iteration": 1,
            "trigger": "auto-issue",
            "batchId": enrolment.context_id,
            "reIssue": False,
            "courseId": enrolment.collection_id,
        },
    }


def _audit(enrolment: Enrolment, now: datetime) -> dict[str, Any]:
    return {
        "eid": "AUDIT",
        "ets": to_epoch_ms(now),
        "mid": _id("enrol-complete", enrolment),
        "actor": {"id": enrolment.user_id, "type": "User"},
        "context": {
            "pdata": {"ver": "1.0", "id": "org.sunbird.learning.platform", "pid": "course-progress-updater"},
            "cdata": [
                {"type": "CourseBatch", "id": enrolment.context_id},
                {"type": "Course", "id": enrolment.collection_id},
            ],
        },
        "object": {"id": enrolment.user_id, "type": "User", "rollup": {"l1": enrolment.collection_id}},
        "edata": {
            "props": ["status", "completedon"],
            "type": "enrol-complete",
            "completedon": to_epoch_ms(enrolment.completed_on) if enrolment.completed_on else None,
            "status": int(enrolment.status),
        },
    }
