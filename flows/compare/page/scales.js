// SVG, and axes: numbers by value, parameters that span a decade by their logarithm; all else side by side.

function svg(tag, attributes, ...content) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...content);
  return node;
}

function label(words, x, y, kind, anchor) {
  return svg("text", { class: kind, x, y, "text-anchor": anchor || "middle" }, words);
}

// Where each value of a column lies between `start` and `end`, and the marks to write there; `more`: numbers that must
// lie there too.
function axis(column, runs, start, end, more = []) {
  const values = runs.map(column.value).filter((value) => value !== null && value !== undefined);
  if ((column.number || column.key === "when") && values.every((value) => typeof value === "number")) {
    return numeric(column, [...values, ...more], start, end);
  }
  const kinds = [...new Set(values.map(text))].sort();
  const at = new Map(kinds.map((kind, index) => [kind, start + (end - start) * (index + 0.5) / kinds.length]));
  return {
    place: (value) => (value === null || value === undefined ? null : at.get(text(value))),
    marks: kinds.length > 12 ? [] : kinds.map((kind) => [kind.length > 22 ? `${kind.slice(0, 21)}…` : kind, at.get(kind)]),
  };
}

function numeric(column, values, start, end) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const logarithmic = column.param && low > 0 && high / low >= 10;
  const size = logarithmic ? Math.log10 : (value) => value;
  const span = size(high) - size(low);
  const place = (value) => (value === null || value === undefined ? null
    : start + (end - start) * (span ? (size(value) - size(low)) / span : 0.5));
  return { place, marks: (logarithmic ? decades(low, high) : round(low, high)).map((value) => [short(column, value), place(value)]) };
}

function short(column, value) {
  if (column.key === "training") return value < 100 ? `${digits(value)} s` : `${Number((value / 60).toFixed(1))} min`;
  return column.key === "when" ? new Date(value).toISOString().slice(0, 10) : String(Number(value.toPrecision(3)));
}

function round(low, high) {
  if (!(high > low)) return Number.isFinite(low) ? [low] : [];
  const rough = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((each) => each >= rough);
  const marks = [];
  for (let count = Math.ceil(low / step); count * step <= high * (1 + 1e-9); count++) marks.push(count * step);
  return marks;
}

function decades(low, high) {
  const marks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of high / low < 1000 ? [1, 2, 5] : [1]) {
      const value = factor * 10 ** power;
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) marks.push(value);
    }
  }
  return marks;
}

// From the worst (0) to the best (1) by a column; null where it is not known.
function goodness(column, runs) {
  const { place } = axis(column, runs, column.lower ? 1 : 0, column.lower ? 0 : 1);
  return (run) => place(column.value(run));
}
