// What pages of the console do by themselves: times that grow older, buttons that copy, a question before
// something is destroyed, and a sign when the page is not live. All else works without it.
(() => {
  "use strict";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const told = (seconds) => {
    if (Math.abs(seconds) < 1) return "now";
    const [size, name] = units.find(([size]) => Math.abs(seconds) >= size);
    const count = Math.floor(Math.abs(seconds) / size);
    return seconds > 0 ? `${count} ${name} ago` : `in ${count} ${name}`;
  };
  const grow = () => {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const text = told((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(grow, 1000);
  document.addEventListener("htmx:afterSettle", grow);

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const from = document.getElementById(button.dataset.copy);
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(from);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });

  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
    if (asked && !confirm(asked)) event.preventDefault();
  });

  // What somebody has unfolded stays so when the page is renewed.
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");

  const live = (state) => { document.body.dataset.live = state; };
  document.addEventListener("htmx:sseOpen", () => live("on"));
  document.addEventListener("htmx:sseError", () => live("off"));
  document.addEventListener("htmx:sseClose", () => live("off"));
})();
