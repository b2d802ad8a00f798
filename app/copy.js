// Copies the text that stands before a button of the class "copy". One listener serves all, for cards come and go.
if (!window.captionerCopies) {
  window.captionerCopies = true;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const text = button.previousElementSibling;
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
