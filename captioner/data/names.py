"""Names of pictures as other machines write them: backslashes, letters in pieces, other endings, folders that are not here."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence

from captioner.data.formats import Listing
from textgen.storage.typed import is_address

_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")


def normal_name(name: str) -> str:
    """A picture's name in one of the ways in which it may be written: composed letters, slashes, no empty folders.

    An address stays as it is.
    """
    if is_address(name):
        return name
    composed = unicodedata.normalize("NFC", name)
    # Of a name with both, backslashes may be letters; of an absolute one of Windows they are not.
    if "/" not in composed or _DRIVE.match(composed):
        composed = composed.replace("\\", "/")
    return os.path.normpath(composed)


def base_name(name: str) -> str:
    """A picture's name without its folders."""
    return re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]


class Finder:
    """Pictures' files by names that were written elsewhere."""

    def __init__(self, folders: Sequence[str], listing: Listing):
        """`folders` are looked into in their order."""
        self._folders, self._listing = folders, listing
        self._folded: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """The file of a picture, None where there is none.

        As it is written, if there is such a file; else with other letters' case or composition, and with as many of its
        folders as are here. Where several files fit alike there is none.
        """
        for written in dict.fromkeys((name, name.replace("/", "\\"))):  # a backslash may be a letter here
            for folder in self._folders:
                path = os.path.normpath(os.path.join(folder, written))
                if os.path.basename(path) in self._listing[os.path.dirname(path)]:
                    return path
        parts = [part for part in _DRIVE.sub("", normal_name(name)).split("/") if part]
        for start in range(len(parts)):
            for folder in self._folders:
                if found := self._like(os.path.join(folder, *parts[start:-1]), parts[-1]):
                    return found
        return None

    def _like(self, folder: str, name: str) -> str | None:
        """The one file in a folder whose name is `name` but for case and composition."""
        folder = os.path.normpath(folder)
        if folder not in self._folded:
            by_name: dict[str, list[str]] = {}
            for there in self._listing[folder]:
                by_name.setdefault(_folded(there), []).append(there)
            self._folded[folder] = by_name
        found = self._folded[folder].get(_folded(name), [])
        return os.path.join(folder, found[0]) if len(found) == 1 else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
