"""Trees and files of the design's own people and things: class-1-maths, single-digit-addition, Rahul."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from catalogue import api


@pytest.fixture(autouse=True)
def fresh_trees():
    """Each test rolls its rows back; what the process remembers of them must go too."""
    api.forget_hierarchies()
    yield
    api.forget_hierarchies()


@pytest.fixture
def load(tmp_path, capsys):
    """Writes the object to a file, runs load_catalogue on it, and gives its output."""

    def run(content, **options):
        path = tmp_path / "catalogue.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        call_command("load_catalogue", str(path), **options)
        return capsys.readouterr().out

    return run


@pytest.fixture
def sample_path(settings):
    return Path(settings.BASE_DIR) / "catalogue" / "sample" / "catalogue.json"
