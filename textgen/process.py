"""The process of a command, from its first line to its end."""

import gc
from importlib import import_module


def run(command_line: str) -> int:
    """Runs `main` of the module `command_line`; returns the exit status."""
    # A tenth of a short command's time would be spent on finding that nothing of what it imports is garbage.
    gc.set_threshold(100_000)
    status: int = import_module(command_line).main()
    gc.freeze()  # nor need the interpreter look for it at its end
    return status
