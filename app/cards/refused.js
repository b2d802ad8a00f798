// Names what the upload widget refuses for its size: it is renewed after an upload, and would forget them.
"use strict";

let limit = Infinity;
let cleared = 0;

function told(file) {
  const megabytes = (bytes) => (bytes / 1048576).toFixed(1).replace(/\.0$/, "");
  return `${file.name}: ${megabytes(file.size)} MB is more than the limit of ${megabytes(limit)} MB.`;
}

function draw() {
  const names = (window.captionerOffered ?? []).filter((file) => file.size > limit).map(told);
  for (const place of document.querySelectorAll(".refused-uploads")) {
    place.replaceChildren(...names.map((name) => {
      const line = document.createElement("p");
      line.textContent = name;
      line.dir = "auto";
      return line;
    }));
    place.hidden = !names.length;
  }
}

document.addEventListener("captioner-offered", draw);

export default function ({ data }) {
  limit = data.limit;
  if (data.cleared !== cleared) {
    cleared = data.cleared;
    window.captionerOffered = [];
  }
  // A hint for a phone's picker; the content decides.
  for (const input of document.querySelectorAll('[data-testid="stFileUploader"] input[type=file]')) {
    input.accept = data.accept;
  }
  draw();
}
