"""docker-compose.yml and Dockerfile: the tiers they start, what they ask of the environment, what they hold."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.servers import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
TIERS = {
    "single": {"web", "worker", "postgres", "redis"},
    "cluster": {"web-cluster", "worker-cluster", "worker-exhaust", "postgres", "redis", "rabbitmq", "cassandra"},
}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^${}]*))?\}")  # the innermost of nested ones

ASKED_FOR = re.compile(r"\$\{[A-Z_]+(:\?[^${}]*|:-)?\}")  # one that has no default


def filled(value: str, given: dict[str, str]) -> str:
    """`value` as compose fills it; KeyError for a variable that must be given and is not."""
    while found := VARIABLE.search(value):
        name, kind, rest = found.groups()
        put = given.get(name) or (rest if kind == "-" else given[name])
        value = value[: found.start()] + put + value[found.end() :]
    return value


def literal_secrets(environment: dict[str, str]) -> set[str]:
    """The names whose value has a password or key of its own, instead of one that the environment gives."""
    found = set()
    for name, value in environment.items():
        own, longer = value, ""
        while own != longer:
            own, longer = ASKED_FOR.sub("", own), own
        is_secret = re.search(r"PASS|SECRET|_KEY$", name) is not None
        if (is_secret and own) or re.search(r"://[^/@:]*:[^/@]+@", own):
            found.add(name)
    return found


def given() -> dict[str, str]:
    """What an operator sets: everything that is asked for, and a key to check tokens with."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {
        "VIEWER_ALLOWED_HOSTS": "viewer.example.org",
        "VIEWER_SECRET_KEY": "s" * 50,
        "VIEWER_JWT_PUBLIC_KEY": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "POSTGRES_PASSWORD": "letters1",
    }


def test_each_profile_starts_the_services_of_its_tier() -> None:
    started = {tier: {name for name, service in SERVICES.items() if tier in service["profiles"]} for tier in TIERS}
    assert started == TIERS
    assert set(SERVICES) == set.union(*TIERS.values())


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_service_is_given_only_variables_that_the_example_lists(name: str) -> None:
    assert set(OURS[name]["environment"]) - EXAMPLE == set()


def test_every_variable_that_compose_reads_is_in_the_example_or_in_the_guide() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    assert {name for name in asked - EXAMPLE if f"`{name}`" not in GUIDE} == set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_guide_has_a_word_about_every_variable_the_service_is_given(name: str) -> None:
    assert {variable for variable in OURS[name]["environment"] if f"`{variable}`" not in GUIDE} == set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_service_understands_its_environment(name: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    told = {variable: filled(value, given()) for variable, value in OURS[name]["environment"].items()}
    read = subprocess.run(
        [sys.executable, "-c", "import config.settings as s; print(s.VIEWER_STORE, s.HOST, s.VIEWER_WORKER_QUEUES)"],
        cwd=ROOT,
        env={**kept, **told, "VIEWER_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    queues = told.get("VIEWER_WORKER_QUEUES", "viewer,exhaust").split(",")
    assert read.stdout.strip() == f"{told['VIEWER_STORE']} 0.0.0.0 {queues}"


@pytest.mark.parametrize("missing", ["VIEWER_ALLOWED_HOSTS", "VIEWER_SECRET_KEY", "POSTGRES_PASSWORD"])
def test_compose_refuses_to_start_without_what_has_no_safe_default(missing: str) -> None:
    without = {name: value for name, value in given().items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        filled(TEXT, without)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_password_stands_in_the_file(name: str) -> None:
    assert literal_secrets(SERVICES[name].get("environment", {})) == set()


def test_a_password_in_the_file_would_be_noticed() -> None:
    assert literal_secrets(
        {
            "DATABASE_URL": "postgres://viewer:hunter2@postgres/viewer",
            "CELERY_BROKER_URL": "amqp://viewer:${RABBITMQ_PASSWORD:-guest}@rabbitmq//",
            "VIEWER_SECRET_KEY": "${VIEWER_SECRET_KEY:-changeme}",
            "REDIS_URL": "redis://redis:6379/0",
            "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?a message}",
        }
    ) == {"DATABASE_URL", "CELERY_BROKER_URL", "VIEWER_SECRET_KEY"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_started_again_and_tells_its_health(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    if "config.worker" in service.get("command", []):
        assert service["healthcheck"] == {"disable": True}  # it ends when it cannot work, and nobody waits for it
    else:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_waits_only_for_healthy_ones_of_every_profile_it_is_in(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert set(SERVICES[name]["profiles"]) <= set(SERVICES[other]["profiles"]), other
        assert how == {"condition": "service_healthy"}
        assert "test" in SERVICES[other]["healthcheck"], other


def test_what_waits_for_nothing_is_what_others_wait_for() -> None:
    independent = {name for name, service in SERVICES.items() if "depends_on" not in service}
    assert independent == {"postgres", "redis", "rabbitmq", "cassandra"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[a-z]+:\d+(\.\d+)*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_data_outlives_a_container(name: str) -> None:
    declared = yaml.safe_load(TEXT)["volumes"]
    named = {volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])}
    assert named <= set(declared)
    assert bool(named) == (name not in {"redis", "rabbitmq"})  # what these hold, the store brings back


def test_the_image_runs_the_service_as_nobody_special() -> None:
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["viewer"]
    assert DOCKERFILE.index("\nUSER") > DOCKERFILE.rindex("\nRUN")
    assert 'CMD ["python", "-m", "config.run"]' in DOCKERFILE


def test_what_the_containers_run_exists() -> None:
    modules = {"config.run"} | {service["command"][-1] for service in OURS.values() if "command" in service}
    assert modules == {"config.run", "config.worker"}
    assert all(find_spec(module) for module in modules)


def test_the_image_leaves_secrets_and_data_outside() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".env", ".env.*", "var", ".git", "**/*.sqlite3*"} <= set(ignored)
