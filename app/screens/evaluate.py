"""Captions beside those of people: files of them, or a model's captions of captioned photos, and their report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.cards import views
from app.work.jobs import Job
from app.work.limits import limits
from app.work.resources import chosen_captioner, chosen_captioner_folder, gate
from app.work.scoring import Files, Scored, score_model, score_uploads
from captioner.data.sets import SPLITS
from captioner.evaluate import Found
from captioner.metrics.stopping import Check
from captioner.network.decoding_config import DecodingConfig
from captioner.network.stored import BOX
from captioner.score_config import ReportConfig
from textgen.errors import UserError

_SCORED = "evaluate_scored_"  # begins the keys of a session, one a way
_LISTEN = 0.2  # seconds between two looks at whether a job is to be stopped
_ALL = "all"
_FILES, _MODEL = "My captions", "A model's captions"
_FORMS = """\
**Captions to score**: COCO's results, a table (CSV or TSV) or JSON lines with an image and a caption, the JSON of
`captioner caption`, or a text file with a caption a line.

**By people**: COCO's annotations, Karpathy's JSON, Flickr8k's files, a table or JSON lines; or, beside a text file, one
or more text files with a caption a line, in the same order."""
_FOLDERS = """\
Photos together with a file of their captions: a table `captions.csv` with the columns `image` and `caption`, or the
files of Flickr8k, COCO or Karpathy as they come. Take them all at once, or as a ZIP archive."""


def main() -> None:
    views.heading(
        "Evaluate",
        "How good are captions? They are compared with what people wrote, by the measures of research papers.",
    )
    way = st.segmented_control(
        "What to score", [_FILES, _MODEL], default=_FILES, required=True, key="evaluate-way"
    )
    with views.errors_shown():
        if way == _FILES:
            _score_files()
        else:
            _score_model()
    if scored := st.session_state.get(_SCORED + way):
        _show(scored)


def _score_files() -> None:
    most = limits().upload_mb
    left, right = st.columns(2, gap="medium")
    predictions = left.file_uploader("Captions to score", max_upload_size=most, key="evaluate-predictions")
    references = right.file_uploader(
        "Captions by people", accept_multiple_files=True, max_upload_size=most, key="evaluate-references"
    )
    with st.expander("Which files?"):
        st.markdown(_FORMS)
    with st.expander("More settings"):
        left, right = st.columns(2, gap="medium")
        other = left.file_uploader(
            "A second system's captions, to compare", max_upload_size=most, key="evaluate-other"
        )
        pictures = right.file_uploader(
            "Only the pictures that a file lists, one a line", max_upload_size=most, key="evaluate-pictures"
        )
        train = left.file_uploader(
            "The training captions, to count copies", max_upload_size=most, key="evaluate-train"
        )
        split = right.selectbox("Only the pictures of a split", [_ALL, *SPLITS], key="evaluate-split")
    if not st.button("Score", type="primary", icon=":material/analytics:", key="evaluate-score"):
        return
    if predictions is None or not references:
        raise UserError("give the captions to score, and one or more files of captions by people")
    files = Files(predictions, references, other, None if split == _ALL else split, pictures, train)
    st.session_state.pop(_SCORED + _FILES, None)
    st.session_state[_SCORED + _FILES] = _stoppable(partial(score_uploads, files, ReportConfig(), limits()))


def _stoppable(work: Callable[[Check], Scored]) -> Scored:
    stop, heard = st.empty(), st.empty()
    stop.button("Stop", icon=":material/stop_circle:", key="evaluate-stop")
    try:
        with st.spinner("Scoring", show_time=True), Job(work, gate()) as job:
            while not job.done(_LISTEN):
                heard.empty()  # where Streamlit ends this run once something is clicked
        return job.result()
    finally:
        stop.empty()


def _score_model() -> None:
    folder = chosen_captioner_folder()
    name = BOX.title(folder)
    left, right = st.columns(2, gap="medium")
    files = left.file_uploader(
        "Captioned photos, or a ZIP archive of them",
        accept_multiple_files=True,
        max_upload_size=limits().upload_mb,
        key="evaluate-data",
    )
    files += right.file_uploader(
        "Or a whole folder",
        accept_multiple_files="directory",
        max_upload_size=limits().upload_mb,
        key="evaluate-folder",
    )
    with st.expander("Which files?"):
        st.markdown(_FOLDERS)
    with st.expander("More settings"):
        split = st.selectbox("Which photos", [_ALL, *SPLITS], key="evaluate-model-split")
        beam = st.slider(
            "Beams",
            1,
            10,
            DecodingConfig.beam,
            key="evaluate-beam",
            help="How many captions are tried side by side.",
        )
    views.note(f"They are captioned by the {name}; another can be chosen under Models.")
    if not st.button("Caption and score", type="primary", icon=":material/analytics:", key="evaluate-run"):
        return
    if not files:
        raise UserError("give photos and the file of their captions")
    st.session_state.pop(_SCORED + _MODEL, None)
    stop, bar = st.empty(), st.empty()
    # Whatever is clicked ends a run of this page, and so this job: its files are gone at once.
    stop.button("Stop", icon=":material/stop_circle:", key="evaluate-stop")
    bar.progress(0.0, text="Looking at the files")

    def watch(found: Found, total: int) -> Found:
        for count, captions in enumerate(gate().steps(found), 1):
            yield captions
            bar.progress(count / total, text=f"{count:,} of {total:,} photos")

    try:
        st.session_state[_SCORED + _MODEL] = score_model(
            chosen_captioner(), name, files, split, DecodingConfig(beam=beam), ReportConfig(), limits(), watch
        )
    finally:
        bar.empty()
        stop.empty()


def _show(scored: Scored) -> None:
    with st.container(horizontal=True):
        views.download("Download the report", lambda: scored.page, "report.html", "text/html")
        views.download("Download as JSON", lambda: scored.json, "report.json", "application/json")
    st.iframe(scored.page, alt=f"Report on {scored.name}")


main()
