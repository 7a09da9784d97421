// The leaderboard of a selection: means and counts are computed anew. Intervals, tests, ranks and
// marks belong to the whole run, so that they are taken away; so does the order by rank.
function startFiltering() {
  const form = document.getElementById("filter");
  const table = document.querySelector("table.board");
  if (!data || !form || !table) return;
  const rows = [...table.querySelectorAll("tr[data-system]")];
  const whole = new Map();
  for (const cell of table.querySelectorAll("tr[data-system] :is(.rank, .metric, .versus, .cells)")) {
    whole.set(cell, { nodes: [...cell.childNodes], sort: cell.dataset.sort, bad: cell.classList.contains("bad") });
  }
  const choice = (name) => Number(form.elements[name]?.value ?? -1);
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target.name === "pair") limitDirections();
    show();
  });
  document.getElementById("filter-reset").addEventListener("click", () => {
    form.reset();
    limitDirections();
    show();
    form.elements[0].focus();
  });
  limitDirections();
  show();  // a browser may have kept what was chosen before the page was loaded again

  // Only the directions of the chosen pair can be chosen with it.
  function limitDirections() {
    const select = form.elements.direction, pair = choice("pair");
    if (!select) return;
    for (const option of select.options) {
      const direction = Number(option.value);
      option.disabled = pair >= 0 && direction >= 0 && !data.pairs[pair].directions.includes(direction);
    }
    if (select.selectedOptions[0].disabled) select.value = "-1";
  }

  function show() {
    const filter = { pair: choice("pair"), direction: choice("direction"), seed: choice("seed") };
    const filtered = Object.values(filter).some((value) => value >= 0);
    const wasFiltered = table.classList.contains("filtered");
    table.classList.toggle("filtered", filtered);
    document.getElementById("filter-reset").disabled = !filtered;
    for (const [cell, { nodes, sort, bad }] of whole) {
      cell.replaceChildren(...nodes);
      cell.dataset.sort = sort;
      cell.classList.toggle("bad", bad);
    }
    showBaseline(filtered ? filter : null);
    if (filtered) for (const row of rows) showSelection(row, filter);
    resort(filtered, wasFiltered);
    const text = filtered ? told(filter) : "";
    document.getElementById("filter-said").textContent = text;
  }

  function showSelection(row, filter) {
    const system = Number(row.dataset.system);
    const rank = row.querySelector(".rank");
    rank.replaceChildren("–");
    rank.dataset.sort = "";
    for (const cell of row.querySelectorAll(".metric")) {
      const metric = Number(cell.dataset.metric);
      const found = estimate(system, metric, filter);
      setCell(cell, found.mean, [
        element("span", "mean", written(found.mean, data.metrics[metric].decimals)),
        found.expected ? element("span", found.n === found.expected ? "scored" : "missing", `${found.n}/${found.expected}`) : "",
      ]);
    }
    const cells = cellsOf(system, filter);
    const ok = cells.filter((cell) => cell[3]).length;
    const counted = row.querySelector(".cells");
    setCell(counted, ok, [`${ok}/${cells.length}`]);
    counted.classList.toggle("bad", ok < cells.length);
  }

  // The column of differences to the chosen baseline.
  function showBaseline(filter) {
    const select = form.elements.baseline;
    const against = data.against[select ? select.value : 0];
    if (!against) return;
    table.querySelector("thead .versus small b").textContent = against.name;
    document.getElementById("versus-how").textContent = filter
      ? "of this selection, untested" : against.how;
    for (const row of rows) {
      const cell = row.querySelector(".versus"), system = Number(row.dataset.system);
      const found = against.rows[system];
      if (!found) setCell(cell, NaN, ["–"]);  // a baseline, or the system itself
      else if (filter) {
        const values = differences(system, against.baseline, 0, filter).map((d) => d.value);
        const decimals = decimalsForDifference(mean(values), data.metrics[0].decimals);
        setCell(cell, mean(values), [
          element("span", "mean", written(mean(values), decimals, true)),
          element("span", "scored", `n ${values.length}`),
        ]);
      } else {
        cell.dataset.sort = found.sort;
        cell.replaceChildren(
          element("span", "mean", found.mean),
          element("span", "interval", found.interval),
          element("span", `verdict ${found.kind}`, found.note),
        );
      }
    }
  }

  function setCell(cell, value, nodes) {
    cell.dataset.sort = Number.isFinite(value) ? String(value) : "";
    cell.replaceChildren(...nodes);
  }

  // A selection has no ranks: what was in their order goes by the first metric.
  function resort(filtered, wasFiltered) {
    const header = table.querySelector("thead [aria-sort]");
    const ascending = header.getAttribute("aria-sort") === "ascending";
    const rank = table.querySelector("thead .rank"), first = table.querySelector("thead .metric");
    if (filtered && header === rank) sortBy(table, first, data.metrics[0].better !== "higher");
    else if (!filtered && wasFiltered && header === first) sortBy(table, rank, true);
    else sortBy(table, header, ascending);
  }

  function told(filter) {
    const parts = [];
    if (filter.pair >= 0) parts.push(`pair ${data.pairs[filter.pair].label}`);
    if (filter.direction >= 0) parts.push(data.directions[filter.direction].label);
    if (filter.seed >= 0) parts.push(`seed ${data.seeds[filter.seed]}`);
    const baselines = filter.seed >= 0 ? " Baselines have no seed and stay." : "";
    return `Only ${parts.join(", ")}: means and n of this selection. Intervals, tests, ranks and`
      + ` marks belong to the whole run and are hidden; speed and size are the system's.${baselines}`;
  }
}

startFiltering();
