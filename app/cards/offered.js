// Notes which files are given to an upload widget: those that it refuses for their size nobody else hears of.
if (!window.captionerOffered) {
  const uploader = '[data-testid="stFileUploader"]';
  const offered = (files) => {
    window.captionerOffered = [...files].map(({ name, size }) => ({ name, size }));
    document.dispatchEvent(new Event("captioner-offered"));
  };
  // Before the widget's own listeners: it empties its input.
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(`${uploader} input[type=file]`)) offered(event.target.files);
  }, true);
  document.addEventListener("drop", (event) => {
    if (event.target.closest?.(uploader)) offered(event.dataTransfer.files);
  }, true);
  // Whoever was quicker than this script has them refused by now: "name, 21.0MB".
  const refused = document.querySelectorAll(`${uploader} [data-testid="stFileChip"][aria-invalid="true"]`);
  offered([...refused].map((chip) => {
    const [, name, megabytes] = /^(.*), ([\d.]+)MB$/s.exec(chip.ariaLabel) ?? [null, chip.ariaLabel, Infinity];
    return { name, size: megabytes * 1048576 };
  }));
}
