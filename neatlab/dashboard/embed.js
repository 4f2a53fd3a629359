// The page as a part of another: `?embed=train` shows the training without its form, `?embed=spectrum` one chart of it; and the
// frame that shows it so, for the clipboard. The style goes beside Gradio's, whose rules reach what lies within its page alone.
const FRAME_HEIGHT = 460; // pixels
const CHROME = ".top, .tab-wrapper, #lesson, .foot, #tour-part, .tour-offer, footer, #tab-train .settings, #summary, #command, #take, #taken";
const embedded = new URLSearchParams(location.search).get("embed") ?? "";
if (/^[a-z]+$/.test(embedded)) {
  const others = embedded === "train" ? ":nth-child(n + 5)" : `:not(#${embedded})`;
  const rules = [
    `${CHROME}, .charts > .live-figure${others} { display: none !important; }`,
    ".gradio-container { padding: 4px 8px !important; min-height: 0 !important; }",
    "#tab-train .lab { grid-template-columns: minmax(0, 1fr) !important; }",
    ".actions { position: static !important; padding: 0 !important; border: 0 !important; }",
  ];
  if (embedded !== "train") {
    rules.push("#tab-train .charts { grid-template-columns: minmax(0, 1fr) !important; }");
    rules.push("#tab-train .scrub, #tab-train .answer { display: none !important; }");
    rules.push(`#tab-train #${embedded} .live-area { height: calc(100vh - 210px) !important; min-height: 160px; }`);
    rules.push(`#tab-train #${embedded} .live-caption { height: 2.6em !important; overflow: hidden; }`);
  }
  document.head.append(Object.assign(document.createElement("style"), { textContent: rules.join("\n") }));
}

window.neatlabCopyFrame = async (name, button) => {
  const query = new URLSearchParams(location.search);
  for (const own of ["tab", "view", "lesson", "tour"]) query.delete(own);
  query.set("embed", name);
  query.set("__theme", document.body.classList.contains("dark") ? "dark" : "light");
  const frame = document.createElement("iframe");
  frame.title = "neatlab";
  frame.width = "100%";
  frame.height = name === "train" ? FRAME_HEIGHT * 1.5 : FRAME_HEIGHT;
  frame.setAttribute("style", "border: 0");
  frame.setAttribute("src", `${location.origin}${location.pathname}?${query}`);
  await window.neatlabCopy(frame.outerHTML, button, "The frame for your page:");
};
