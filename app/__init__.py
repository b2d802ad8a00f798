"""The page: captions, text, scores and models in a browser; `captioner app` opens it."""

from textgen import telemetry

telemetry.turn_off()
