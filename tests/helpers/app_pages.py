"""Pages without a browser: Streamlit's own AppTest on the whole of the app, with the models in the box."""

from __future__ import annotations

import pytest

from tests.helpers.paths import ROOT


def opened(page: str = ""):
    """The app, at its first page or at `page`, as `text`."""
    testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
    app = testing.AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120).run()
    if page:
        app.switch_page(f"screens/{page}.py").run()
    assert_fine(app)
    return app


def assert_fine(app) -> None:
    """Nothing went wrong."""
    assert not app.exception and not app.error


def the_error(app) -> str:
    """The one sentence that says what is wrong, as it is shown."""
    (error,) = app.error
    assert not app.exception
    text = error.value.replace("\\", "")
    assert "\n" not in text and text.endswith((".", "!", "?")) and "Traceback" not in text
    return text
