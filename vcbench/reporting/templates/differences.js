// Two systems that the reader chooses, utterance by utterance: a dot for each difference, sorted.
function startDifferences() {
  const form = document.getElementById("pick");
  const place = document.getElementById("differences-plot");
  if (!data || !form || !place) return;
  const SVG = "http://www.w3.org/2000/svg";
  form.hidden = false;
  place.hidden = false;
  document.getElementById("differences-reading").hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", draw);
  let width = 0;
  new ResizeObserver(() => { if (Math.abs(place.clientWidth - width) > 8) draw(); }).observe(place);
  draw();

  function draw() {
    const [a, b, metric, direction] = ["a", "b", "metric", "direction"]
      .map((name) => Number(form.elements[name]?.value ?? -1));
    const found = differences(a, b, metric, { ...ALL, direction }).sort((x, y) => x.value - y.value);
    const about = data.metrics[metric];
    const names = [data.systems[a], data.systems[b]];
    width = place.clientWidth;
    const text = a === b ? "Choose two different systems." : found.length
      ? told(found, about, names) + tested(a, b, metric, direction)
      : nothing([a, b], names, metric, { ...ALL, direction });
    document.getElementById("differences-said").textContent = text;
    place.replaceChildren(...(a !== b && found.length ? [plot(found, about, names)] : []));
  }

  // Why there is no difference to draw.
  function nothing(systems, names, metric, filter) {
    const lacking = systems.map((system, i) => ({ name: names[i], ...estimate(system, metric, filter) }))
      .filter((found) => found.n < found.expected)
      .map((found) => `${found.name} has ${found.n} of ${found.expected} scores`);
    return lacking.length
      ? `No utterance has a score of both systems at every seed: ${lacking.join(", ")}.`
      : `${names[0]} and ${names[1]} share no scored utterance here.`;
  }

  // Which of the two is better by this difference: 0, 1, or -1 where neither is.
  function winner(value, about) {
    if (value === 0 || about.better === "neither") return -1;
    return (value < 0) === (about.better !== "higher") ? 0 : 1;
  }

  function told(found, about, names) {
    const values = found.map((d) => d.value);
    const decimals = decimalsForDifference(mean(values), about.decimals);
    const wins = [0, 1].map((side) => values.filter((v) => winner(v, about) === side).length);
    const unit = about.unit ? ` ${about.unit}` : "";
    const said = (d) => `${written(d.value, about.decimals, true)}${unit} (${d.sentence}, ${data.directions[d.direction].label})`;
    let text = `${about.label} of ${names[0]} less that of ${names[1]}: mean`
      + ` ${written(mean(values), decimals, true)}${unit} over ${found.length} utterances`;
    if (about.better !== "neither") {
      text += `; ${names[0]} is better in ${wins[0]}, ${names[1]} in ${wins[1]}`;
    }
    return `${text}. From ${said(found[0])} to ${said(found[found.length - 1])}.`;
  }

  // What the page says of the whole run; nothing is tested here.
  function tested(a, b, metric, direction) {
    if (metric !== 0 || direction >= 0) return "";
    const found = data.against.find((against) => against.baseline === b)?.rows[a];
    if (!found) return "";
    const how = found.tested ? "Tested over the whole run" : "Over the whole run";
    return ` ${how}: ${[found.note, found.interval].filter(Boolean).join(", ")}.`;
  }

  function plot(found, about, names) {
    const w = Math.max(280, Math.min(width, 860)), h = 300;
    const left = 58, right = 14, top = 14, bottom = 34;
    const values = found.map((d) => d.value);
    const low = Math.min(0, ...values), high = Math.max(0, ...values);
    const room = 0.06 * (high - low) || 1;
    const y = (v) => top + (h - top - bottom) * (high + room - v) / (high - low + 2 * room);
    const x = (i) => left + (w - left - right) * (i + 0.5) / found.length;
    const svg = node("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: "img" });
    svg.setAttribute("aria-label", `Plot of ${found.length} differences in ${about.label},`
      + ` ${names[0]} less ${names[1]}; the text above says the same`);
    const ticks = ticksOf(low - room, high + room);
    for (const tick of ticks.values) {
      svg.append(node("line", { class: tick === 0 ? "zero" : "grid", x1: left, x2: w - right, y1: y(tick), y2: y(tick) }));
      svg.append(label(left - 6, y(tick) + 4, written(tick, ticks.decimals, true), "end"));
    }
    const unit = about.unit ? ` (${about.unit})` : "";
    const axis = label(0, 0, `difference in ${about.label}${unit}`, "middle");
    axis.setAttribute("transform", `translate(12 ${(top + h - bottom) / 2}) rotate(-90)`);
    svg.append(axis, label((left + w - right) / 2, h - 8, "utterances, sorted", "middle"));
    const middle = mean(values), line = y(middle);
    svg.append(node("line", { class: "mean-line", x1: left, x2: w - right, y1: line, y2: line }));
    svg.append(label(w - right, line - 5, `mean ${written(middle, decimalsForDifference(middle, about.decimals), true)}`, "end"));
    const radius = Math.max(1.6, Math.min(4, (w - left - right) / found.length / 2.2));
    found.forEach((d, i) => {
      const side = winner(d.value, about);
      const dot = node("circle", { class: `side${side}`, cx: x(i), cy: y(d.value), r: radius });
      const title = node("title", {});
      title.textContent = `${d.sentence}, ${data.directions[d.direction].label}: ${written(d.value, about.decimals, true)} ${about.unit}`;
      dot.append(title);
      svg.append(dot);
    });
    return svg;
  }

  function ticksOf(low, high) {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const values = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) values.push(i * step);
    return { values, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  function node(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function label(x, y, text, anchor) {
    const made = node("text", { x, y, "text-anchor": anchor });
    made.textContent = text;
    return made;
  }
}

startDifferences();
