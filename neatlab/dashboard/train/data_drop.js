// A file that is dropped anywhere on the page goes where "Your own data" takes one. Gradio's own fields come first: what
// they take is prevented already.
const FIELD = "#data-file input[type=file]";
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function appears(selector) {
  const seen = () => document.querySelector(selector);
  if (seen()) return Promise.resolve(seen());
  return new Promise((resolve) => {
    const watcher = new MutationObserver(() => {
      if (!seen()) return;
      watcher.disconnect();
      resolve(seen());
    });
    watcher.observe(document.body, { childList: true, subtree: true });
  });
}

async function take(files) {
  document.querySelector("#tab-train-button")?.click();
  const heading = await appears("#data > button");
  if (!heading.classList.contains("open")) heading.click();
  document.querySelector("#data-file button[aria-label=Clear]")?.click();
  const field = await appears(FIELD);
  const one = new DataTransfer();
  one.items.add(files[0]);
  field.files = one.files;
  field.dispatchEvent(new Event("change", { bubbles: true }));
  document.querySelector("#data").scrollIntoView({ block: "nearest" });
}

if (!window.neatlabTakesFiles) {
  window.neatlabTakesFiles = true;
  document.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (event.defaultPrevented || !hasFiles(event)) return;
    event.preventDefault(); // else the browser leaves the page for the file
    const isInspected = document.querySelector("#tab-inspect-button")?.ariaSelected === "true"; // it takes adapters
    if (!isInspected) take([...event.dataTransfer.files]);
  });
}
