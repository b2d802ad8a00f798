# make caption PHOTO=my.jpg   the caption of a photo (without PHOTO: of the example photos)
# make generate PROMPT="..."  the prompt read on, by MODEL=shakespeare (unless told), MODEL=novels or a folder
# make test                   style and tests
# make bench                  speed and memory, as the README quotes them

PYTHON ?= python3
BIN := .venv/bin

.PHONY: caption generate test bench clean

caption: .venv/installed
	@$(BIN)/captioner caption $(if $(PHOTO),"$(PHOTO)",captioner/examples)

# The prompt goes through the environment, so that the shell does not read its quotes.
generate: .venv/installed
	@PROMPT="$${PROMPT:-ROMEO:}"; $(BIN)/textgen generate "$$PROMPT" $(if $(MODEL),--model "$(MODEL)")

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

bench: .venv/installed-test
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 2; }
	@echo "Making .venv; the first time takes a few minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@
