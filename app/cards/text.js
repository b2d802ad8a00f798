// Says what else might have stood where a word is tapped.
"use strict";

function node(name, style, text) {
  const made = document.createElement(name);
  made.className = style;
  made.textContent = text;
  return made;
}

function choice([name, percent, share, chosen]) {
  const row = node("li", chosen ? "choice chosen" : "choice", "");
  const bar = node("span", "bar", "");
  bar.style.setProperty("--share", share);
  row.append(node("span", "name", name), bar, node("span", "percent", percent));
  return row;
}

function wireWords(card, places) {
  const words = [...card.querySelectorAll(".word")];
  const others = card.querySelector(".others");
  let current = 0;
  function tap(index) {
    words[current].tabIndex = -1;
    words[current].removeAttribute("aria-pressed");
    current = index;
    words[current].tabIndex = 0;
    words[current].setAttribute("aria-pressed", "true");
    const list = document.createElement("ol");
    list.append(...places[index].choices.map(choice));
    others.replaceChildren(node("p", "asked", places[index].title), list);
    others.hidden = false;
  }
  const group = card.querySelector(".words");
  group.addEventListener("click", (event) => {
    const index = words.indexOf(event.target.closest(".word"));
    if (index >= 0) { words[index].focus(); tap(index); }
  });
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
    const ends = { Home: 0, End: words.length - 1, Enter: current, " ": current };
    const index = step ? Math.min(Math.max(current + step, 0), words.length - 1) : ends[event.key];
    if (index === undefined) return;
    event.preventDefault();
    words[index].focus();
    tap(index);
  });
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector("[data-texts]");
  if (root.dataset.shown === data.html) return;
  root.dataset.shown = data.html;
  root.innerHTML = data.html; // escaped where it was made
  root.querySelectorAll(".text-card").forEach((card, index) => {
    if (data.places[index].length) wireWords(card, data.places[index]);
  });
}
