"""Photos to captions."""

from __future__ import annotations

import streamlit as st

from app import views
from app.limits import limits
from app.resources import chosen_captioner, gate
from captioner.caption import picture_pixels
from captioner.decoding import DecodingConfig

views.heading("Captions", "Drop photos here, and read what a small neural network sees in them.")
for file in st.file_uploader(
    "Photos", accept_multiple_files=True, max_upload_size=limits().upload_mb, key="photos"
):
    with views.errors_shown():
        captioner = chosen_captioner()
        pixels = picture_pixels(file, captioner.size)
        with gate().place():
            caption = captioner.decode(captioner.encode(pixels[None]), DecodingConfig())[0][0]
        st.write(caption.text)
