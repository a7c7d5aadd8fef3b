"""What an id may look like, and how one is put into a key or a file name.

Ids are opaque: `<batch>:<course>` is a normal context. They are refused only for what would break a path or a log.
"""

import re
from urllib.parse import quote

from common.errors import InvalidId

MAX_ID_LENGTH = 256
MAX_ID_BYTES = 512  # five of them fit one index entry of PostgreSQL (2,704 bytes)
_SAFE = re.compile(r"[A-Za-z0-9._-]*").fullmatch
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\]|\.\.")


def check_id(field: str, value: object) -> str | None:
    """The id without outer blanks, or None when it is absent or blank.

    Raises InvalidId for anything but text, for more than 256 characters (512 bytes of UTF-8), for control
    characters, lone surrogates, slashes, backslashes and "..".
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidId(field, f"{field} must be text")
    text = value.strip()
    if len(text) > MAX_ID_LENGTH:
        raise InvalidId(field, f"{field} is longer than {MAX_ID_LENGTH} characters")
    if _FORBIDDEN.search(text):
        raise InvalidId(field, f'{field} has a character no id may have (control, "/", "\\" or "..")')
    if len(text) > MAX_ID_BYTES // 4 and len(text.encode()) > MAX_ID_BYTES:
        raise InvalidId(field, f"{field} is longer than {MAX_ID_BYTES} bytes")
    return text or None


def plain_user_id(user_id: str) -> str:
    """`<id>` of the federated form `f:<provider>:<id>`; any other id as it is."""
    if user_id.startswith("f:"):
        parts = user_id.split(":", 2)
        if len(parts) == 3 and parts[2]:
            return parts[2]
    return user_id


def safe_part(value: str) -> str:
    """`value` for a Redis key, a lock or a file name: everything outside [A-Za-z0-9._-] percent-encoded.

    Two different ids never give the same part, and no part holds a separator.
    """
    return value if _SAFE(value) else quote(value, safe="").replace("~", "%7E")
