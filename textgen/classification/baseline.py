"""What a network has to beat: TF-IDF and logistic regression, by scikit-learn."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

from textgen.classification.examples import Labelled
from textgen.errors import UserError


def has_baseline() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


def baseline_labels(train: Labelled, texts: tuple[str, ...]) -> list[str]:
    """What the baseline, trained on `train`, takes `texts` for. Raises UserError without scikit-learn.

    Words and pairs of words seen twice or more, logarithmic counts; the regression's strength is chosen by three folds
    of `train`.
    """
    if not has_baseline():
        raise UserError(
            "the baseline needs scikit-learn, not installed here: pip install 'captioner[baseline]'"
        )
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression(max_iter=1000)
    )
    strengths = {"logisticregression__C": [1.0, 4.0, 16.0]}
    fewest = min(train.labels.count(name) for name in train.classes)
    if fewest >= 3:
        pipeline = GridSearchCV(pipeline, strengths, cv=3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of folds without a class, or of what has not converged
            pipeline.fit(list(train.texts), list(train.labels))
    except ValueError as error:
        # Of texts without words, such as those of scripts without spaces, nothing is left to count.
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the baseline cannot be trained on {', '.join(train.names)}: {reason}") from error
    return [str(label) for label in pipeline.predict(list(texts))]
