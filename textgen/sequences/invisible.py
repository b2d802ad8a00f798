"""Signs that show nothing, as text from the web has them: whoever reads cannot see them, so no model should."""

from __future__ import annotations

import re

# Soft hyphens, spaces of no width, byte-order marks in the middle of a text, directions of writing, notes between lines.
_NOTHING = (
    "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0001"
)
# Joiners, and the tags of flags, say something behind an emoji and in scripts that join letters, as Persian and Hindi do.
_JOINERS = "\u180e\u200c\u200d\U000e0020-\U000e007f"
_JOINED = "\u0530-\u1dff\u2190-\ufefe\U00010000-\U000dffff"
_DROPPED = re.compile(f"[{_NOTHING}]|(?<![{_JOINED}{_JOINERS}])[{_JOINERS}]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # those that are no white space


def visible(text: str) -> str:
    """`text` without what shows nothing, but for what a script or an emoji needs; a space for a control character."""
    if text.isprintable():
        return text
    return _CONTROLS.sub(" ", _DROPPED.sub("", text))
