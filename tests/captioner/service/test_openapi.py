"""Whatever its own OpenAPI allows, and much that it does not: the service never answers with an error of its own."""

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed")
import schemathesis
from hypothesis import HealthCheck, settings

from captioner.serve import load_models
from captioner.service.application import create_app
from captioner.service.config import ServiceConfig

APP = create_app(load_models(None, "auto"), ServiceConfig(text_length=100, lines=10), log=lambda line: None)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)


@pytest.mark.slow
@SCHEMA.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_is_answered_with_an_error_of_the_service(case):
    response = case.call()
    busy = response.status_code == 503 and "retry-after" in response.headers
    assert response.status_code < 500 or busy, response.text
