# make caption PHOTO=my.jpg   the caption of a photo (without PHOTO: of the example photos)
# make generate PROMPT="..."  the prompt read on, by MODEL=shakespeare (unless told), MODEL=novels or a folder
# make app                    the page, in a browser; PORT=8501 unless told
# make test                   style, types and tests
# make test-quick             the same without the tests that train, open pages or start many processes
# make bench                  speed and memory, as docs/speed.md quotes them
#
# Captions, text and scores need no torch: .venv is small. Tests train, too: .venv-test has everything.

PYTHON ?= python3
BIN := .venv/bin
TEST_BIN := .venv-test/bin

.PHONY: caption generate app style test test-quick bench clean

caption: .venv/installed
	@$(BIN)/captioner caption $(if $(PHOTO),"$(PHOTO)",captioner/examples)

# The prompt goes through the environment, so that the shell does not read its quotes.
generate: .venv/installed
	@PROMPT="$${PROMPT:-ROMEO:}"; $(BIN)/textgen generate "$$PROMPT" $(if $(MODEL),--model "$(MODEL)")

app: .venv/installed-app
	@$(BIN)/captioner app $(if $(PORT),--port $(PORT))

style: .venv-test/installed
	$(TEST_BIN)/ruff check .
	$(TEST_BIN)/ruff format --check .
	$(TEST_BIN)/mypy

test: .venv/installed style
	$(TEST_BIN)/python -m pytest -m alone
	LIGHT_PYTHON=$(BIN)/python $(TEST_BIN)/python -m pytest -m "not alone" --numprocesses 2 --dist loadfile

test-quick: style
	$(TEST_BIN)/python -m pytest -m "not slow" --numprocesses 2

bench: .venv/installed .venv-test/installed-bench
	$(TEST_BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv .venv-test

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 2; }
	@echo "Making .venv; the first time takes a minute."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-app: .venv/installed
	@echo "Adding Streamlit to .venv, 340 MB; the first time takes a minute."
	$(BIN)/python -m pip install --quiet --editable '.[app]'
	@touch $@

.venv-test/installed: .venv/installed
	@echo "Making .venv-test, with torch; the first time takes a few minutes."
	$(PYTHON) -m venv .venv-test
	$(TEST_BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

.venv-test/installed-bench: .venv-test/installed
	$(TEST_BIN)/python -m pip install --quiet --editable '.[bench,test]'
	@touch $@
