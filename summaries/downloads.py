"""A learner's summary to keep: a link that expires, and the file it leads to, made when it is fetched."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core import signing

from catalogue import api as catalogue
from catalogue.facts import LearnerProfile
from common.errors import InvalidField, NotFound
from common.identity import Caller
from common.ids import check_id
from modes import instance
from summaries import files, reading
from viewer import exporting
from viewer.store import get_store

MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8", "zip": "application/zip"}
FORMATS = ("json", "csv")
SALT = "summary.download"
GONE = "This link has expired, or never was one; ask for a new one"


class File(NamedTuple):
    """What is sent."""

    name: str
    media_type: str
    content: bytes


def link(caller: Caller, path_user_id: str, wanted: str | None) -> str:
    """The path of the file below the calls' own: a token that VIEWER_LINK_SECONDS end, and the file's name.

    wanted: "json" (also for None) or "csv". Whoever has the link gets the file; it holds no more than this. Raises
    InvalidField and Forbidden.
    """
    user_id = caller.acts_for(check_id("userId", path_user_id))
    kind = (wanted or "json").strip().lower()
    if kind not in FORMATS:
        raise InvalidField("format", "format must be csv or json")
    return _link(user_id, kind)


def export_link(caller: Caller, path_user_id: str) -> str:
    """As `link`, of the archive with everything stored of the learner. Raises Forbidden."""
    return _link(caller.acts_for(check_id("userId", path_user_id)), "zip")


def _link(user_id: str, kind: str) -> str:
    token = signing.dumps([user_id, kind], salt=SALT)
    return f"{token}/{quote(_name(user_id, kind), safe='')}"


def file_of(token: str, now: datetime) -> File:
    """The file as it is now. Raises NotFound for what is no link, or one too old.

    Cost: as summary/list; for an archive a dump of the learner besides.
    """
    try:
        given: Any = signing.loads(token, salt=SALT, max_age=settings.VIEWER_LINK_SECONDS)
        user_id, kind = given
    except (signing.BadSignature, ValueError):
        raise NotFound(GONE) from None
    records = reading.all_records(user_id, "all" if kind == "zip" else "enrolment", now)
    profile = catalogue.profiles([user_id]).get(user_id)
    name = " ".join(part for part in (profile.first_name, profile.last_name) if part) if profile else ""
    summary = {
        "json": files.as_json(user_id, name, records, now),
        "csv": files.as_csv(name, records, ZoneInfo(settings.VIEWER_TIME_ZONE)),
    }
    content = summary[kind] if kind in summary else _archive(user_id, profile, summary, now)
    return File(_name(user_id, kind), MEDIA[kind], content)


def _archive(user_id: str, profile: LearnerProfile | None, summary: Mapping[str, bytes], now: datetime) -> bytes:
    """Read after the summary, so that what was pending has been folded."""
    tables = {
        name: files.Table(exporting.columns_of(name), rows)
        for name, rows in exporting.told(get_store().dump(user_id)).items()
    }
    manifest = {
        "userId": user_id,
        "createdOn": now.isoformat(timespec="milliseconds"),
        "mode": str(instance.current().mode),
        "profile": asdict(profile) if profile else None,
    }
    return files.as_archive(manifest, tables, {f"summary.{kind}": content for kind, content in summary.items()})


def _name(user_id: str, kind: str) -> str:
    return f"{user_id}_viewer_{'export' if kind == 'zip' else 'summary'}.{kind}"
