"""The end of a training: the narrowest graphs that cost nothing; whatever hinders an export, a whole model stays."""

import pytest

from textgen.errors import UserError
from textgen.storage.bundle import HEADER, WEIGHTS
from textgen.training.export import export_trained

MODEL = {WEIGHTS: b"weights", HEADER: b'{"format": 1}'}


@pytest.fixture
def folder(tmp_path):
    for name, data in MODEL.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def left(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def export(folder, name):
    """Stores the model anew, with a graph."""
    (folder / WEIGHTS).write_bytes(name.encode())
    (folder / HEADER).write_bytes(b'{"format": 2, "graphs": {"a": 1}}')
    (folder / f"{name}.onnx").write_bytes(b"graph")


def fail(error):
    raise error


def test_the_first_that_costs_little_stays(folder, capsys):
    scores = iter([98.0, 99.8])
    exports = {name: lambda name=name: export(folder, name) for name in ("narrow", "middle", "wide")}
    export_trained(folder, "auto", exports, lambda: next(scores), 100.0, 0.5)
    assert left(folder)[WEIGHTS] == b"middle" and set(left(folder)) == {*MODEL, "middle.onnx"}
    assert "narrow would cost 2.000; trying middle" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [UserError("it is so"), RuntimeError("it is so\nand more"), KeyError("it is so")]
)
def test_after_one_that_fails_the_next_is_tried(folder, capsys, error):
    def half():
        export(folder, "narrow")
        raise error

    exports = {"narrow": half, "wide": lambda: export(folder, "wide")}
    export_trained(folder, "auto", exports, lambda: fail(AssertionError), 100.0, 0.5)
    assert set(left(folder)) == {*MODEL, "wide.onnx"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("narrow: ") and "it is so" in line and line.endswith("; trying wide")


@pytest.mark.parametrize("wanted", ["auto", "int8", "float32"])
def test_when_all_fail_the_model_stays_as_it_was_without_graphs(folder, capsys, wanted):
    def half():
        export(folder, "any")
        raise ValueError

    export_trained(folder, wanted, {"narrow": half, "wide": half}, lambda: 0.0, 100.0, 0.5)
    assert left(folder) == MODEL
    assert "no ONNX graphs: " in capsys.readouterr().err


def test_a_score_that_cannot_be_had_counts_as_a_failure(folder):
    exports = {name: lambda name=name: export(folder, name) for name in ("narrow", "wide")}
    export_trained(folder, "auto", exports, lambda: fail(UserError("no dev picture")), 100.0, 0.5)
    assert left(folder)[WEIGHTS] == b"wide"


def test_a_stop_is_no_failure(folder):
    with pytest.raises(KeyboardInterrupt):
        export_trained(folder, "auto", {"narrow": lambda: fail(KeyboardInterrupt)}, lambda: 0.0, 1.0, 0.5)


def test_none_changes_nothing(folder):
    export_trained(folder, "none", {}, lambda: 0.0, 1.0, 0.5)
    assert left(folder) == MODEL
