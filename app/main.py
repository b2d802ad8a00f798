"""What Streamlit runs: the page's frame, and the page that was asked for."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.cards import views
from app.work import families
from textgen.classification.stored import BOX as CLASSIFIERS
from textgen.translation.stored import BOX as TRANSLATORS

# Not in a folder called pages: Streamlit would run these by themselves, without what follows here, for whoever opens
# the address of one before anybody has opened the first.
PAGES = [
    st.Page("screens/captions.py", title="Captions", icon=":material/photo_camera:", default=True),
    st.Page("screens/text.py", title="Text", icon=":material/edit_note:"),
    *(
        [st.Page("screens/translate.py", title="Translate", icon=":material/translate:")]
        if TRANSLATORS.names()
        else []
    ),
    *(
        [st.Page("screens/whose.py", title="Whose words?", icon=":material/person_search:")]
        if CLASSIFIERS.names()
        else []
    ),
    *(
        [st.Page("screens/seven.py", title="Seven ways", icon=":material/alt_route:")]
        if len(families.folders()) > 1
        else []
    ),
    st.Page("screens/evaluate.py", title="Evaluate", icon=":material/analytics:"),
    st.Page("screens/models.py", title="Models", icon=":material/neurology:"),
]

LOGO = str(Path(__file__).with_name("logo.svg"))

# The icon before the pages are named: a browser would ask for the page's own elsewhere.
st.set_page_config(page_icon=LOGO, layout="wide")
page = st.navigation(PAGES, position="top")
st.set_page_config(page_title=f"{page.title} · Captioner")
st.logo(LOGO, size="large")
views.style()
with views.errors_shown():
    page.run()
