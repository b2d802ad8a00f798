"""What Streamlit runs: the page's frame, and the page that was asked for."""

from __future__ import annotations

import streamlit as st

from app import views
from app.resources import warm_up

PAGES = [
    st.Page("pages/captions.py", title="Captions", icon=":material/photo_camera:", default=True),
    st.Page("pages/text.py", title="Text", icon=":material/edit_note:"),
]

st.set_page_config(page_title="Captioner", page_icon=":material/photo_camera:", layout="wide")
page = st.navigation(PAGES, position="top")
views.style()
with views.errors_shown():
    if "warm" not in st.session_state:
        st.session_state.warm = True
        warm_up()
    page.run()
