"""System checks: a bad configuration fails at the start, with a hint, and not at three in the morning."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from common.hosts import is_loopback


def _is_public_key(pem: str) -> bool:
    """True for one RSA or elliptic public key; what only looks like one would refuse every token, at three o'clock."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, RSAPublicKey | EllipticCurvePublicKey) and "PRIVATE" not in pem


@register()
def check_authentication(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """viewer.E001-E003: who may call, and where from."""
    found: list[CheckMessage] = []
    if settings.VIEWER_AUTH == "off" and not is_loopback(settings.HOST):
        found.append(
            Error(
                f"Authentication is off, yet the server would listen on {settings.HOST}.",
                hint="Set VIEWER_AUTH=jwt, or leave VIEWER_HOST at 127.0.0.1.",
                id="viewer.E001",
            )
        )
    has_key, has_url = bool(settings.VIEWER_JWT_PUBLIC_KEY), bool(settings.VIEWER_JWT_JWKS_URL)
    if settings.VIEWER_AUTH == "jwt" and has_key == has_url:
        found.append(
            Error(
                "VIEWER_AUTH=jwt needs exactly one source of keys.",
                hint="Set VIEWER_JWT_PUBLIC_KEY (a PEM; or VIEWER_JWT_PUBLIC_KEY_FILE) or VIEWER_JWT_JWKS_URL.",
                id="viewer.E002",
            )
        )
    if has_key and not _is_public_key(settings.VIEWER_JWT_PUBLIC_KEY):
        found.append(
            Error(
                "VIEWER_JWT_PUBLIC_KEY is not a public key in PEM form.",
                hint=(
                    "It starts with -----BEGIN PUBLIC KEY----- and has real line ends; a private key must never be "
                    "put here."
                ),
                id="viewer.E003",
            )
        )
    return found


@register()
def check_time_zone(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """viewer.E004: calendar days need a zone that exists."""
    try:
        ZoneInfo(settings.VIEWER_TIME_ZONE)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return [
            Error(
                f"VIEWER_TIME_ZONE {settings.VIEWER_TIME_ZONE!r} is no time zone.",
                hint="Use an IANA name such as Asia/Kolkata.",
                id="viewer.E004",
            )
        ]
    return []


@register()
def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """viewer.E005: the two databases the store has statements for. viewer.W001: debugging on a real host."""
    found: list[CheckMessage] = []
    engine = settings.DATABASES["default"]["ENGINE"].rsplit(".", 1)[-1]
    if engine not in {"sqlite3", "postgresql"}:
        found.append(
            Error(
                f"DATABASE_URL names a {engine} database.",
                hint="The store speaks sqlite:/// and postgres://.",
                id="viewer.E005",
            )
        )
    if settings.DEBUG and not is_loopback(settings.HOST):
        found.append(
            checks.Warning(
                "VIEWER_DEBUG is on and the server can be reached from elsewhere.",
                hint="Debug pages tell settings and queries to anyone; unset VIEWER_DEBUG.",
                id="viewer.W001",
            )
        )
    return found
