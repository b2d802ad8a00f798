// Copies the text of the card that a button of the class "copy" stands in. One listener serves all, for cards come and go.
if (!window.captionerCopies) {
  window.captionerCopies = true;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const text = button.closest(".copyable, .text-card").querySelector(".said, .text");
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      // Where the clipboard is out of reach, Ctrl+C is left.
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
