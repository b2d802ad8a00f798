"""What a service is sent, and what it tells."""

JPEG = {"content-type": "image/jpeg"}


def told(response, status):
    """The one sentence of a refusal."""
    assert response.status_code == status, response.text
    (name,) = response.json()
    text = response.json()["error"]
    assert name == "error" and "\n" not in text and "Traceback" not in text and text
    return text
