"""The commands about the models that there are: info, models, app; `cli` names them."""

from __future__ import annotations

from dataclasses import dataclass

from textgen import command_line
from textgen.arguments import Model
from textgen.errors import UserError


@dataclass(frozen=True)
class InfoCommand:
    """Show a model's card."""

    model: Model = None
    """A model in the box by its name, or a trained model's folder; general unless told."""
    json: bool = False
    """Print model.json without its vocabulary."""

    def run(self) -> int:
        from captioner.network.stored import BOX, KIND

        command_line.print_card(BOX.find(self.model), KIND, self.json)
        return 0


@dataclass(frozen=True)
class ModelsCommand:
    """List the models in the box: size, what each is made of and was trained on, its figures."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        from captioner.network.stored import BOX

        command_line.print_models([BOX], self.json)


@dataclass(frozen=True)
class AppCommand:
    """Open the page: captions, text, scores and models in a browser. Ctrl-C ends it."""

    model: Model = None
    """The captioner it begins with: one in the box by its name, or a folder; general unless told."""
    text_model: Model = None
    """The text model it begins with: one in the box by its name, or a folder."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    host: str = "localhost"
    """Whom it serves: localhost this machine only, 0.0.0.0 the whole network."""
    port: int = 8501
    """Of the address, http://HOST:PORT."""
    no_browser: bool = False
    """Open no browser."""

    def run(self) -> int:
        if not 1 <= self.port <= 65535:
            raise UserError(f"port: {self.port} is outside 1 to 65535")
        from captioner.page_server import serve

        return serve(
            self.host, self.port, self.model, self.text_model, self.engine, browser=not self.no_browser
        )
