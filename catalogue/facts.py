"""What the other apps learn of collections, batches, programs and learners, as plain values.

Texts are "" where nothing is known; dates are calendar days without a zone.
"""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """One collection, without its tree (that is `api.hierarchy`).

    status: Sunbird's word, such as "Live" or "Retired". leaf_nodes_count: as published, None when it says none.
    parent_id: None for a collection loaded itself, else the collection whose tree it was found in.
    updated_at: when the catalogue last saw it change, UTC.
    """

    collection_id: str
    name: str
    description: str
    logo: str
    status: str
    channel: str
    content_type: str
    primary_category: str
    leaf_nodes_count: int | None
    version_key: str
    parent_id: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """One batch, of a collection or of a program: exactly one of the two ids is given.

    status: 0 upcoming, 1 ongoing, 2 ended, as its owner last said; None when unsaid. start_date and end_date are
    its first and last day, None for an open side. created_for: the root organisations it was made for.
    """

    batch_id: str
    collection_id: str | None
    program_id: str | None
    name: str
    status: int | None
    enrollment_type: str
    start_date: date | None
    end_date: date | None
    enrollment_end_date: date | None
    created_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """One program: its days, and the ids of its collections in the order they are to be taken."""

    program_id: str
    name: str
    start_date: date | None
    end_date: date | None
    collections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LearnerProfile:
    """What reports print of one learner. root_org_id is the channel the learner belongs to."""

    user_id: str
    first_name: str
    last_name: str
    email: str
    phone: str
    state: str
    district: str
    org_name: str
    root_org_id: str
    school_name: str
    school_udise_code: str
    block: str
    cluster: str
    user_type: str
    user_sub_type: str
    board: str
