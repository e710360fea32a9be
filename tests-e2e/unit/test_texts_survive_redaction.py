"""Redaction leaves the services' own texts unchanged."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

import feature_sync.app
import feature_sync.settings
import model_registry.app
import model_registry.settings
import notification_gateway.app
import notification_gateway.settings
import recommender_api.app
import recommender_api.settings
from monitoring.redaction import Redactor

CHECKOUT = Path(__file__).parents[2]
SOURCES = [
    CHECKOUT / folder / "src"
    for folder in (
        "recommender-api",
        "model-registry",
        "feature-sync",
        "notification-gateway",
        "libs/servicekit",
        "libs/contracts",
    )
]
APPS = {
    "recommender-api": lambda: recommender_api.app.create_app(recommender_api.settings.Settings()),
    "model-registry": lambda: model_registry.app.create_app(model_registry.settings.Settings()),
    "feature-sync": lambda: feature_sync.app.create_app(feature_sync.settings.Settings()),
    "notification-gateway": lambda: notification_gateway.app.create_app(notification_gateway.settings.Settings()),
}
# Replaces the values in a sentence.
PLACEHOLDER = "…"


def sentences(source: Path) -> Iterator[str]:
    """Yield the texts of several words in a module's code, including formatted ones, without docstrings."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values]
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def test_every_text_in_the_services_code_survives() -> None:
    redactor = Redactor()
    # Descriptions of settings are shown in pages and at the start, where nothing is redacted.
    modules = [path for folder in SOURCES for path in folder.rglob("*.py") if path.name != "settings.py"]
    found = [text for module in modules for text in sentences(module)]
    assert len(found) > 500
    assert [text for text in found if redactor.text(text) != text] == []


@pytest.mark.parametrize("service", APPS)
def test_every_text_of_an_openapi_document_survives(service: str) -> None:
    app: FastAPI = APPS[service]()
    document = json.dumps(app.openapi(), ensure_ascii=False, indent=1)
    redactor = Redactor()
    assert [line for line in document.splitlines() if redactor.text(line) != line] == []


def test_a_text_that_looks_like_a_header_would_be_found() -> None:
    written = "Send `Authorization: Bearer <token>` with this service's token."
    assert Redactor().text(written) != written
