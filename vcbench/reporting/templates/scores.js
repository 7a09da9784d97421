"use strict";
// Every utterance's score, and what is computed from them: means and counts of a selection, and
// paired differences. Intervals and tests come with the page.
const data = JSON.parse(document.getElementById("scores")?.textContent ?? "null");
const ALL = { pair: -1, direction: -1, seed: -1 };
const NO_SEED = -1;

// A number with a true minus sign, or a dash; one that rounds to zero has no sign.
function written(value, decimals, signed = false) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(decimals);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : signed ? "+" : "") + text;
}

// More decimals than the means have where a difference would vanish in them.
function decimalsForDifference(value, decimals) {
  while (decimals < 4 && value !== 0 && Math.abs(value) < 4 * 10 ** -decimals) decimals += 1;
  return decimals;
}

// What belongs to no seed (a baseline) is the same beside each of them.
function chosen(filter, pair, direction, seed) {
  return (filter.pair < 0 || filter.pair === pair)
    && (filter.direction < 0 || direction === null || filter.direction === direction)
    && (filter.seed < 0 || seed === NO_SEED || filter.seed === seed);
}

function cellsOf(system, filter) {
  return data.cells.filter(([s, pair, seed]) => s === system && chosen(filter, pair, null, seed)
    && data.pairs[pair].directions.some((d) => filter.direction < 0 || filter.direction === d));
}

// The mean over all finite scores of the selection, how many they are, and how many should be.
function estimate(system, metric, filter) {
  let sum = 0, n = 0, expected = 0;
  for (const [s, pair, direction, seed, values] of data.scores) {
    if (s !== system || !chosen(filter, pair, direction, seed)) continue;
    for (const value of values[metric]) if (value !== null) { sum += value; n += 1; }
  }
  for (const [, pair] of cellsOf(system, filter)) {
    for (const direction of data.pairs[pair].directions) {
      if (filter.direction < 0 || filter.direction === direction) {
        expected += data.directions[direction].sentences.length;
      }
    }
  }
  return { mean: n ? sum / n : NaN, n, expected };
}

// One difference for each utterance that both systems have at every seed that they share, averaged
// over the seeds; equal seeds are paired, and a system without seeds stands beside every one.
function differences(a, b, metric, filter) {
  const tables = [a, b].map((system) => {
    const found = new Map();
    for (const [s, pair, direction, seed, values] of data.scores) {
      if (s === system && chosen(filter, pair, direction, seed)) {
        found.set(`${pair}/${direction}/${seed}`, { pair, direction, seed, values: values[metric] });
      }
    }
    return found;
  });
  const seeds = tables.map((table) => new Set([...table.values()].map((block) => block.seed)));
  const untrained = seeds.map((of) => of.size === 1 && of.has(NO_SEED));
  const common = untrained[1] ? [...seeds[0]]
    : untrained[0] ? [...seeds[1]] : [...seeds[0]].filter((seed) => seeds[1].has(seed));
  const found = [];
  if (!common.length) return found;
  const places = new Map([...tables[0].values()].map((b) => [`${b.pair}/${b.direction}`, b]));
  for (const [place, { pair, direction }] of places) {
    const pairsOfBlocks = common.map((seed) => [0, 1].map((side) =>
      tables[side].get(`${place}/${untrained[side] ? NO_SEED : seed}`)?.values));
    data.directions[direction].sentences.forEach((sentence, i) => {
      let sum = 0;
      for (const [one, other] of pairsOfBlocks) {
        const x = one?.[i] ?? NaN, y = other?.[i] ?? NaN;
        sum += x - y;
      }
      if (Number.isFinite(sum)) found.push({ pair, direction, sentence, value: sum / common.length });
    });
  }
  return found;
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
