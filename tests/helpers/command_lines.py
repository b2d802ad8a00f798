"""Command lines as the tests call them: in this process, with what they print."""


def run_command(main, capsys, *argv: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command; help and misuse included."""
    capsys.readouterr()
    try:
        status = main([str(word) for word in argv])
    except SystemExit as stop:
        status = stop.code or 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def assert_one_line_of(prog: str, error: str, *words: object) -> None:
    """`error` is a message for people, in which `words` stand."""
    assert error.count("\n") == 1 and error.startswith(f"{prog}: ") and "Traceback" not in error, error
    assert all(str(word) in error for word in words), error
