"""A learner's summary to keep: a link that expires, and the file it leads to, made when it is fetched."""

from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core import signing

from catalogue import api as catalogue
from common.errors import InvalidField, NotFound
from common.identity import Caller
from common.ids import check_id
from summaries import files, reading

MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
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
    if kind not in MEDIA:
        raise InvalidField("format", "format must be csv or json")
    token = signing.dumps([user_id, kind], salt=SALT)
    return f"{token}/{quote(_name(user_id, kind), safe='')}"


def file_of(token: str, now: datetime) -> File:
    """The file as it is now. Raises NotFound for what is no link, or one too old. Cost: as summary/list."""
    try:
        given: Any = signing.loads(token, salt=SALT, max_age=settings.VIEWER_LINK_SECONDS)
        user_id, kind = given
    except (signing.BadSignature, ValueError):
        raise NotFound(GONE) from None
    records = reading.all_records(user_id, now)
    profile = catalogue.profiles([user_id]).get(user_id)
    name = " ".join(part for part in (profile.first_name, profile.last_name) if part) if profile else ""
    if kind == "csv":
        content = files.as_csv(name, records, ZoneInfo(settings.VIEWER_TIME_ZONE))
    else:
        content = files.as_json(user_id, name, records, now)
    return File(_name(user_id, kind), MEDIA[kind], content)


def _name(user_id: str, kind: str) -> str:
    return f"{user_id}_viewer_summary.{kind}"
