"""`python -m app`: the page's server; options are those of `streamlit run`."""

import sys
from pathlib import Path

from streamlit import net_util
from streamlit.web.cli import main

from app.work import resources
from app.work.limits import limits
from app.work.sessions import forget_those_who_left
from textgen.errors import UserError
from textgen.output import complain
from textgen.training.memory import return_freed_memory

if __name__ == "__main__":
    try:
        limits()  # before Streamlit tells of one in its own words, or nobody does
    except UserError as error:
        complain("captioner", error)
        sys.exit(2)
    # It would ask a web service for this machine's address in the world, to print it and to compare visitors' with it.
    net_util.get_external_ip = lambda: None
    return_freed_memory()
    forget_those_who_left()
    resources.warm_up()
    sys.argv = ["streamlit", "run", str(Path(__file__).with_name("main.py")), *sys.argv[1:]]
    sys.exit(main())
