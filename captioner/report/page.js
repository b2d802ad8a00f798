// The page says everything without this; it adds the copy button and, on the photos, where the model looked.
"use strict";

const copy = document.querySelector("button.copy");
copy.hidden = false;
copy.addEventListener("click", async () => {
  const signature = document.getElementById("signature");
  // Selected too: where the clipboard is out of reach, Ctrl+C is left.
  getSelection().selectAllChildren(signature);
  try {
    await navigator.clipboard.writeText(signature.textContent);
    copy.textContent = "Copied";
  } catch {
    copy.textContent = "Selected";
  }
  setTimeout(() => { copy.textContent = "Copy"; }, 2000);
});

// The photo dimmed where the model did not look: a cell is two digits, 99 where it looked most.
function light(word) {
  const card = word.closest(".card");
  const photo = card.querySelector("img");
  const canvas = card.querySelector("canvas");
  const { rows, columns } = canvas.dataset;
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const cells = new ImageData(Number(columns), Number(rows));
  word.dataset.look.match(/../g).forEach((digits, cell) => {
    cells.data[4 * cell + 3] = 204 * (1 - digits / 99);
  });
  small.getContext("2d").putImageData(cells, 0, 0);
  // Of the photo's own size, so that the browser scales the cells smoothly and fits both into one box.
  canvas.width = photo.naturalWidth;
  canvas.height = photo.naturalHeight;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  canvas.hidden = false;
}

for (const word of document.querySelectorAll(".word")) {
  word.disabled = false;
  const canvas = word.closest(".card").querySelector("canvas");
  for (const event of ["mouseenter", "focus", "click"]) word.addEventListener(event, () => light(word));
  for (const event of ["mouseleave", "blur"]) word.addEventListener(event, () => { canvas.hidden = true; });
}

// Paper has nothing to unfold.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

document.documentElement.dataset.ready = "";
