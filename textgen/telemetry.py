"""Nothing is sent: what the libraries would report of their use is turned off before any of them is imported.

Every package of the project imports this first, so that it holds in every process of ours and in those it starts.
"""

from __future__ import annotations

import os
import sys
import warnings

_OFF = {
    # ONNX Runtime 1.29 and later: a device's id and an event store in the user's cache folder, which it uploads. It
    # decides while it is imported, once for the process.
    "ORT_DISABLE_TELEMETRY": "1",
    # What timm brings with it: the names of models that are asked for.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Visits of the page, and the machine's id; over what a user's own config.toml says.
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    # Ray's: once an hour, of a cluster that it starts.
    "RAY_USAGE_STATS_ENABLED": "0",
}


def turn_off() -> None:
    """Sets the variables that the libraries ask; one that says otherwise is overruled.

    Warns where ONNX Runtime was imported before: it has begun, and cannot be called back.
    """
    late = "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1"
    os.environ.update(_OFF)
    if late and _reports(getattr(sys.modules["onnxruntime"], "__version__", "")):
        warnings.warn(
            "onnxruntime was imported first and may report its use; import captioner or textgen before it, "
            "or set ORT_DISABLE_TELEMETRY=1",
            RuntimeWarning,
            stacklevel=2,
        )


def _reports(version: str) -> bool:
    """Whether ONNX Runtime of this version reports from its import on; on Windows it can be told later."""
    parts = version.split(".")[:2]
    return (
        sys.platform != "win32" and all(map(str.isdigit, parts)) and [int(part) for part in parts] >= [1, 29]
    )
