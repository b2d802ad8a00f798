"""Where things lie that tests use."""

from pathlib import Path

from captioner.network import stored
from textgen.engine import text_model

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
"""Material that lies beside a checkout; what needs it skips where it is missing."""
MODEL_IN_THE_BOX = stored.BOX.default_folder
EXAMPLES = ROOT / "captioner" / "examples"
PHOTOS = sorted([*EXAMPLES.glob("*.jpg"), *(ROOT / "docs").glob("*.jpg")])
MODELS = text_model.BOX.folder
