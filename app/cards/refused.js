// Names what the upload widget refuses for its size: it is renewed after an upload, and would forget them.
"use strict";

const state = (window.captionerRefused ??= { names: [], limit: Infinity, cleared: 0, listening: false });
const UPLOADER = '[data-testid="stFileUploader"]';

function told(file) {
  const megabytes = (bytes) => (bytes / 1048576).toFixed(1).replace(/\.0$/, "");
  return `${file.name}: ${megabytes(file.size)} MB is more than the limit of ${megabytes(state.limit)} MB.`;
}

function draw() {
  for (const place of document.querySelectorAll(".refused-uploads")) {
    place.replaceChildren(...state.names.map((name) => {
      const line = document.createElement("p");
      line.textContent = name;
      line.dir = "auto";
      return line;
    }));
    place.hidden = !state.names.length;
  }
}

function look(files) {
  state.names = [...files].filter((file) => file.size > state.limit).map(told);
  draw();
}

if (!state.listening) {
  state.listening = true;
  // Before the widget's own: it empties its input.
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(`${UPLOADER} input[type=file]`)) look(event.target.files);
  }, true);
  document.addEventListener("drop", (event) => {
    if (event.target.closest?.(UPLOADER)) look(event.dataTransfer.files);
  }, true);
}

export default function ({ data }) {
  state.limit = data.limit;
  if (data.cleared !== state.cleared) {
    state.cleared = data.cleared;
    state.names = [];
  }
  // A hint for a phone's picker; the content decides.
  for (const input of document.querySelectorAll(`${UPLOADER} input[type=file]`)) input.accept = data.accept;
  draw();
}
