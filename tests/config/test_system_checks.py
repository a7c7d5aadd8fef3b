"""A bad configuration fails at the start: each check with its id, its words and its hint."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.core import checks
from django.core.checks import CheckMessage

from common.hosts import is_loopback

EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def public(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, kind=None) -> str:
    kind = kind or PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, kind).decode()


PRIVATE = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = public(EC)


def found(settings, **changed: object) -> dict[str, CheckMessage]:
    """id -> message of our own checks under these settings."""
    for name, value in changed.items():
        setattr(settings, name, value)
    mine = [message for message in checks.run_checks() if (message.id or "").startswith("viewer.")]
    return {message.id or "": message for message in mine}


@pytest.fixture(autouse=True)
def defaults(settings) -> None:
    settings.HOST, settings.VIEWER_AUTH, settings.DEBUG = "127.0.0.1", "off", False
    settings.VIEWER_JWT_PUBLIC_KEY = settings.VIEWER_JWT_JWKS_URL = ""


def test_the_defaults_pass(settings) -> None:
    assert found(settings) == {}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.168.1.7", "viewer.example", "", "127.0.0.1.example"])
def test_e001_no_authentication_on_an_open_port(settings, host: str) -> None:
    told = found(settings, HOST=host)
    assert set(told) == {"viewer.E001"}
    error = told["viewer.E001"]
    assert error.level == checks.ERROR
    assert error.msg == f"Authentication is off, yet the server would listen on {host}."
    assert error.hint == "Set VIEWER_AUTH=jwt, or leave VIEWER_HOST at 127.0.0.1."


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_no_authentication_is_fine_where_only_this_machine_can_call(settings, host: str) -> None:
    assert is_loopback(host)
    assert found(settings, HOST=host) == {}


@pytest.mark.parametrize(("key", "url"), [("", ""), (PUBLIC, "https://keys.example/certs")])
def test_e002_tokens_need_exactly_one_source_of_keys(settings, key: str, url: str) -> None:
    told = found(settings, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=key, VIEWER_JWT_JWKS_URL=url)
    assert set(told) == {"viewer.E002"}
    assert told["viewer.E002"].level == checks.ERROR
    assert told["viewer.E002"].msg == "VIEWER_AUTH=jwt needs exactly one source of keys."
    assert "VIEWER_JWT_PUBLIC_KEY" in (told["viewer.E002"].hint or "")
    assert "VIEWER_JWT_JWKS_URL" in (told["viewer.E002"].hint or "")


@pytest.mark.parametrize(
    "pem",
    ["nonsense", PRIVATE, PUBLIC + PRIVATE, PUBLIC.replace("\n", "\\n"), PUBLIC[:60], PUBLIC.replace("M", "?"),
     public(ed25519.Ed25519PrivateKey.generate())],
    ids=["words", "private", "both", "escaped line ends", "cut off", "garbled", "of another algorithm"],
)  # fmt: skip
def test_e003_a_key_that_could_not_verify_a_token(settings, pem: str) -> None:
    told = found(settings, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=pem)
    assert set(told) == {"viewer.E003"}
    assert told["viewer.E003"].level == checks.ERROR
    assert told["viewer.E003"].msg == "VIEWER_JWT_PUBLIC_KEY is not a public key in PEM form."
    assert "-----BEGIN PUBLIC KEY-----" in (told["viewer.E003"].hint or "")
    assert "private key must never be put here" in (told["viewer.E003"].hint or "")


@pytest.mark.parametrize(
    "pem",
    [PUBLIC, PUBLIC.strip(), public(RSA), public(RSA, PublicFormat.PKCS1)],
    ids=["ec", "stripped", "rsa", "pkcs1"],
)
def test_a_public_key_passes_on_any_host(settings, pem: str) -> None:
    assert found(settings, HOST="0.0.0.0", VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=pem) == {}


def test_a_key_set_passes(settings) -> None:
    assert found(settings, VIEWER_AUTH="jwt", VIEWER_JWT_JWKS_URL="https://keys.example/certs") == {}


@pytest.mark.parametrize("zone", ["Mars/Olympus", "IST+5:30", "../../etc/passwd", "/etc/passwd", "America", "A\x00"])
def test_e004_a_time_zone_that_does_not_exist(settings, zone: str) -> None:
    told = found(settings, VIEWER_TIME_ZONE=zone)
    assert set(told) == {"viewer.E004"}
    assert told["viewer.E004"].level == checks.ERROR
    assert told["viewer.E004"].msg == f"VIEWER_TIME_ZONE {zone!r} is no time zone."
    assert told["viewer.E004"].hint == "Use an IANA name such as Asia/Kolkata."


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "UTC", "Europe/Berlin"])
def test_a_time_zone_that_exists_passes(settings, zone: str) -> None:
    assert found(settings, VIEWER_TIME_ZONE=zone) == {}


def test_e005_a_database_the_store_has_no_statements_for(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.oracle")
    told = found(settings)
    assert set(told) == {"viewer.E005"}
    assert told["viewer.E005"].level == checks.ERROR
    assert told["viewer.E005"].msg == "DATABASE_URL names a oracle database."
    assert told["viewer.E005"].hint == "The store speaks sqlite:/// and postgres://."


def test_w001_debug_pages_that_others_can_reach(settings) -> None:
    told = found(settings, HOST="0.0.0.0", DEBUG=True, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=PUBLIC)
    assert set(told) == {"viewer.W001"}
    assert told["viewer.W001"].level == checks.WARNING
    assert told["viewer.W001"].msg == "VIEWER_DEBUG is on and the server can be reached from elsewhere."
    assert "unset VIEWER_DEBUG" in (told["viewer.W001"].hint or "")


def test_debugging_on_this_machine_alone_passes(settings) -> None:
    assert found(settings, DEBUG=True) == {}
