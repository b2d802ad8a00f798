"""The layout: imports point one way, heavy ones come late, and nothing that runs code from a file is imported."""

import ast
import json
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

# The house, from the roof down: a room imports from the lines below its own only. A bare package is its hall: the class
# that people import, the command line, the few jobs.
ROOMS = [
    ["app"],
    ["app.screens"],
    ["app.cards"],
    ["app.work"],
    ["captioner"],
    ["captioner.service"],
    ["captioner.training"],
    ["captioner.report"],
    ["captioner.network"],
    ["captioner.data"],
    ["captioner.pictures", "captioner.metrics"],
    ["captioner.version"],
    ["textgen"],
    ["textgen.classification", "textgen.families", "textgen.translation"],
    ["textgen.sequences", "textgen.transformer"],
    ["textgen.training"],
    ["textgen.decoding"],
    ["textgen.graphs"],
    ["textgen.engine"],
    ["textgen.decoder"],
    ["textgen.text"],
    ["textgen.report"],
    ["textgen.storage"],
    ["textgen.errors", "textgen.rows", "textgen.telemetry"],
]
FOUNDATION = {  # files of a hall on which everything stands
    "captioner.version": "version",
    "textgen.errors": "errors",
    "textgen.rows": "rows",
    "textgen.telemetry": "telemetry",
}
PACKAGES = ("textgen", "captioner", "app")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(tree, late=True):
    """Names of the modules that a module imports; without `late`, those that importing it imports."""
    found = set()
    for node in ast.walk(tree) if late else at_import(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides where it points"
            # `from textgen.storage import bundle` imports textgen.storage.bundle
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def at_import(node):
    """The nodes that run when the module is imported: not the bodies of functions, nor what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        types_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not types_only and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def top(names):
    return {name.partition(".")[0] for name in names}


def reached(name):
    """Every module that importing `name` loads, as far as it is the project's or somebody else's top level."""
    seen, todo = set(), {name}
    while todo:
        current = todo.pop()
        seen.add(current)
        if current in TREES:
            parents = {current.rpartition(".")[0]} - {""}
            todo |= (imports(TREES[current], late=False) | parents) - seen
    return top(seen - set(TREES))


def calls(tree, owner, attribute):
    """Whether `owner.attribute` is used, or imported by its name."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr == attribute and ast.unparse(node.value) == owner)
        or (
            isinstance(node, ast.ImportFrom)
            and node.module.endswith(owner)
            and attribute in {alias.name for alias in node.names}
        )
        for node in ast.walk(tree)
    )


def test_the_modules_are_found():
    assert {"textgen.decoder.rnn", "captioner.pictures.load", "captioner", "textgen"} <= set(TREES)


def room_of(name):
    """The folder of a module, as ROOMS has it; a package's own files are its hall."""
    package, *inner = name.split(".")
    if name in FOUNDATION:
        return f"{package}.{FOUNDATION[name]}"
    is_room = len(inner) > 1 or (inner and (ROOT / package / inner[0]).is_dir())
    return f"{package}.{inner[0]}" if is_room else package


def test_every_room_is_in_the_table():
    assert {room_of(name) for name in TREES} == {room for floor in ROOMS for room in floor}


@pytest.mark.parametrize("name", TREES)
def test_imports_point_down(name):
    """To lower lines of the table, or within the room; imports inside functions count, too."""
    own = room_of(name)
    (level,) = [number for number, floor in enumerate(ROOMS) if own in floor]
    lower = {room for floor in ROOMS[level + 1 :] for room in floor} | {own}
    used = {room_of(module) for module in imports(TREES[name]) if module in TREES}
    # Every module of a package runs its `__init__`, which imports nothing but the version and what turns telemetry off.
    assert used - lower <= set(), f"{name} imports from {used - lower}"


@pytest.mark.parametrize("room", [room for floor in ROOMS for room in floor if "." in room])
def test_a_room_is_small_and_its_modules_do_not_repeat_its_name(room):
    names = [name.rpartition(".")[2] for name in TREES if room_of(name) == room]
    assert len(names) <= 15
    assert not any(
        room.rpartition(".")[2].rstrip("s") in name for name in names if name != room.rpartition(".")[2]
    )


@pytest.mark.parametrize(
    ("room", "unknown"),
    [
        ("textgen.text", {"torch"}),
        ("textgen.decoder", {"textgen.text"}),
        ("textgen.decoding", {"torch", "textgen.decoder"}),
        ("textgen.sequences", {"textgen.decoding", "textgen.training"}),
        ("captioner.metrics", {"torch", "PIL"}),
        ("captioner.data", {"torch", "PIL"}),
    ],
)
def test_what_a_room_knows_nothing_of(room, unknown):
    for name in TREES:
        if room_of(name) == room:
            found = imports(TREES[name])
            assert not unknown & (
                found | top(found) | {room_of(module) for module in found if module in TREES}
            )


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("textgen.generator", {"textgen.decoder.rnn", "textgen.train", "torch"}),
        ("captioner.network.decoding", {"torch", "captioner.network.model"}),
        ("captioner.metrics.report", {"captioner.network.decoding"}),
    ],
)
def test_what_a_module_knows_nothing_of(name, unknown):
    found = imports(TREES[name])
    assert not unknown & (found | top(found))


def test_a_picture_is_opened_in_one_place():
    users = {name for name, tree in TREES.items() if calls(tree, "Image", "open")}
    assert users == {"captioner.pictures.load"}


def test_torchvision_is_known_to_the_encoder_only():
    users = {name for name, tree in TREES.items() if "torchvision" in top(imports(tree))}
    assert users == {"captioner.network.backbones"}


def test_onnx_is_known_to_those_who_write_graphs_and_its_runtime_to_the_engine():
    def users(package):
        return {name for name, tree in TREES.items() if package in top(imports(tree))}

    graphs = {
        "textgen.graphs.nodes",
        "textgen.graphs.step",
        "textgen.graphs.table",
        "textgen.sequences.encoder_graph",
        "captioner.network.export",
        "captioner.network.quantize",
    }
    assert users("onnx") == graphs
    assert users("onnxruntime") == {"textgen.engine.session", "captioner.network.quantize"}


def test_streamlit_is_known_to_the_page_only():
    users = {name for name, tree in TREES.items() if "streamlit" in top(imports(tree))}
    assert users and all(name.startswith("app.") for name in users)


@pytest.mark.parametrize("name", [name for name in TREES if name.partition(".")[0] == "app"])
def test_the_page_holds_no_model_code(name):
    assert not top(imports(TREES[name])) & {"torch", "torchvision", "onnx", "onnxruntime", "safetensors"}


@pytest.mark.parametrize("name", TREES)
def test_nothing_runs_code_from_a_file(name):
    tree = TREES[name]
    assert not top(imports(tree)) & {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        assert function not in ("eval", "exec")
        assert options.get("allow_pickle", "False") == "False"
        if function == "torch.load":
            assert options["weights_only"] == "True"


LIGHT = [
    "captioner",
    "captioner.cli",
    "captioner.metrics",
    "captioner.score",
    "captioner.data.scorable",
    "captioner.report.page",
    "textgen.report.web",
    "captioner.report.exports",
    "captioner.page_server",
    "captioner.report.gallery",
    "captioner.data.examples",
    "captioner.pictures.load",
    "captioner.caption",
    "textgen",
    "textgen.cli",
    "textgen.decoding.generate",
    "textgen.generator",
    "textgen.alternatives",
    "textgen.training.runs",
    "textgen.evaluate",
    "textgen.translate",
    "textgen.translation.translator",
    "textgen.sweep",
    "textgen.text.corpus",
    "textgen.text.tokenizer",
    "textgen.storage.bundle",
    "textgen.training.checkpoint",
    "textgen.engine.onnx",
    "captioner.network.eyes",
]
HEAVY = {
    "onnx",
    "torch",
    "torchvision",
    "nltk",
    "streamlit",
    "matplotlib",
    "scipy",
    "pandas",
    "sacrebleu",
    "sentencepiece",
}


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_module_asks_for_nothing_heavy(name):
    assert not reached(name) & HEAVY


def test_importing_the_light_modules_loads_nothing_heavy():
    """As above, but what the libraries load in turn is seen, too."""
    code = f"import {', '.join(LIGHT)}, json, sys; print(json.dumps(list(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=99)
    assert ended.returncode == 0, ended.stderr
    assert not set(json.loads(ended.stdout)) & HEAVY


def test_streamlits_inside_is_used_in_one_place():
    """It moves without notice; app.__main__ is what `streamlit run` is."""
    inside = ("streamlit.runtime", "streamlit.web")
    users = {name for name, tree in TREES.items() if any(one.startswith(inside) for one in imports(tree))}
    assert users == {"app.work.sessions", "app.__main__"}
