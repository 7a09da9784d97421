// A table's header buttons sort the rows of each body apart, so that baselines stay apart. Rows that
// are level stand as the page came.
const cameAs = new Map();
for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const row of table.rows) cameAs.set(row, cameAs.size);
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const header = button.closest("th");
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      sortBy(table, header, ascending);
      say(`sorted by ${button.textContent}, ${ascending ? "ascending" : "descending"}`);
    });
  }
}

function sortBy(table, header, ascending) {
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[header.cellIndex].dataset.sort;
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
    body.append(...rows.sort((a, b) =>
      compare(key(a), key(b), ascending) || cameAs.get(a) - cameAs.get(b)));
  }
}

// What is missing goes last in either order.
function compare(a, b, ascending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const numeric = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
  const order = numeric ? Number(a) - Number(b) : a.localeCompare(b);
  return ascending ? order : -order;
}

function say(text) {
  document.getElementById("said").textContent = text;
}
