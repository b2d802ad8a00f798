"""What is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right; its message is one line that says what is wrong and what to do.

    Command lines print it to standard error and exit with status 2. Everything else that escapes is a
    defect of ours and keeps its traceback.
    """


class Interrupted(Exception):
    """Ctrl-C or SIGTERM stopped a training; its state has been saved.

    Command lines print it to standard error and exit with status 130.
    """
