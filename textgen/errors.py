"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right; its message is one line that says what is wrong and what to do.

    Command lines print it to standard error and exit with status 2. Everything else that escapes is a
    defect of ours and keeps its traceback.
    """
