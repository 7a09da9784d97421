// One sound at a time.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);

// A browser is content with a part of what has the focus: the rest may lie under the names.
document.addEventListener("focusin", ({ target }) => {
  if (target.closest(".scroll thead")) target.scrollIntoView({ block: "nearest", inline: "nearest" });
});

// Paper has no switches: print what is folded away.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    addEventListener("afterprint", () => { details.open = false; }, { once: true });
  }
});
