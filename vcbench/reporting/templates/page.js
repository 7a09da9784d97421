"use strict";
// A table's header buttons sort the rows of each body apart, so that baselines stay apart.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => sortBy(table, button));
  }
}

function sortBy(table, button) {
  const header = button.closest("th");
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[header.cellIndex].dataset.sort;
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
    body.append(...rows.sort((a, b) => compare(key(a), key(b), ascending)));
  }
  const status = document.getElementById("sorted");
  if (status) status.textContent = `sorted by ${button.textContent}, ${ascending ? "ascending" : "descending"}`;
}

// What is missing goes last in either order.
function compare(a, b, ascending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const numeric = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
  const order = numeric ? Number(a) - Number(b) : a.localeCompare(b);
  return ascending ? order : -order;
}

// One sound at a time.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);

// Paper has no switches: print what is folded away.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
