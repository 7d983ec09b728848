// A scatter of any column against any other, and parallel coordinates of those in the table.

const WIDTH = 760, HEIGHT = 380, LEFT = 76, RIGHT = 736, TOP = 18, BOTTOM = 322;
const FEW = 60; // runs up to which intervals are drawn

const title = (run) => svg("title", {}, `${run.name}: ${main} ${run.score ? digits(run.score[0]) : "–"}`);

// Five shades are told apart, by lightness; a shade of its own for runs without the value.
const shade = (share) => (share === null ? "none" : `shade${Math.min(4, Math.floor(share * 5))}`);

function clickable(run, shape) {
  shape.dataset.commit = run.commit;
  shape.addEventListener("click", () => pin(run));
  return shape;
}

// What is pinned stands out, on top of the others.
function markPins() {
  for (const shape of document.querySelectorAll("svg [data-commit]")) {
    const pinned = state.pins.includes(shape.dataset.commit);
    shape.classList.toggle("chosen", pinned);
    if (pinned) shape.parentNode.append(shape);
  }
}

function picture(words, width, height, ...content) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words }, ...content);
}

function scatter(x, y) {
  const runs = visible.filter((run) => [x, y].every((column) => ![null, undefined].includes(column.value(run))));
  if (runs.length === 0) return element("p", "note", "No run has both.");
  const ends = (run) => (y.key === "score" && runs.length <= FEW ? run.score.slice(1) : []).filter(Number.isFinite);
  const across = axis(x, runs, LEFT + 12, RIGHT - 12), down = axis(y, runs, BOTTOM - 12, TOP + 12, runs.flatMap(ends));
  const good = goodness(y, runs), parts = [];
  for (const [words, at] of across.marks) {
    parts.push(svg("path", { class: "grid", d: `M${at},${TOP}V${BOTTOM}` }), label(words, at, BOTTOM + 18, "tick"));
  }
  for (const [words, at] of down.marks) {
    parts.push(svg("path", { class: "grid", d: `M${LEFT},${at}H${RIGHT}` }), label(words, LEFT - 8, at + 4, "tick", "end"));
  }
  parts.push(label(x.name, (LEFT + RIGHT) / 2, BOTTOM + 42, "name"), label(y.name, LEFT - 8, TOP - 4, "name", "start"));
  for (const run of runs) {
    const cx = across.place(x.value(run)), cy = down.place(y.value(run));
    const range = ends(run).map(down.place);
    if (range.length === 2) {
      parts.push(svg("path", { class: "whisker", d: `M${cx},${range[0]}V${range[1]}` }));
    }
    parts.push(clickable(run, svg("circle", { class: `point ${shade(good(run))}`, cx, cy, r: 5 }, title(run))));
  }
  const words = `${y.name} by ${x.name}, ${runs.length} runs; the table holds the same values`;
  return picture(words, WIDTH, HEIGHT, ...parts);
}

function parallel(columns, by) {
  const runs = visible.filter((run) => columns.some((column) => column.value(run) !== null));
  if (columns.length < 2 || runs.length === 0) return element("p", "note", "Choose at least two columns above.");
  const width = Math.max(WIDTH, 130 * columns.length), good = goodness(by, runs), parts = [];
  const axes = columns.map((column, at) => {
    const x = 70 + (width - 140) * at / (columns.length - 1), { place, marks } = axis(column, runs, 296, 44);
    const name = column.name.length > 20 ? `…${column.name.slice(-19)}` : column.name;
    parts.push(label(name, x, at % 2 ? 30 : 14, "name"), svg("path", { class: "axis", d: `M${x},38V300` }),
      ...marks.map(([words, y]) => label(words, x + 6, y + 4, "tick halo", "start")));
    return (run) => {
      const y = place(column.value(run));
      return y === null ? null : `${x.toFixed(1)},${y.toFixed(1)}`;
    };
  });
  const ordered = [...runs].sort((a, b) => (good(a) ?? -1) - (good(b) ?? -1)); // the best on top
  const paths = ordered.map((run) => {
    const points = axes.map((at) => at(run)).filter(Boolean);
    return clickable(run, svg("path", { class: `run ${shade(good(run))}`, d: `M${points.join("L")}` }, title(run)));
  });
  const words = `a line for each of ${runs.length} runs over ${columns.map((column) => column.name).join(", ")}`;
  const chart = picture(words, width, 310, ...paths, ...parts);
  chart.style.minWidth = `${Math.min(width, 130 * columns.length)}px`;
  return chart;
}

const axesForm = document.getElementById("axes"), linesForm = document.getElementById("lines");
const axisNames = COLUMNS.filter((column) => column.key !== "changed").map((column) => [column.key, column.name]);

function chartForms() {
  const first = COLUMNS.find((column) => column.param && column.number) || COLUMNS.find((column) => column.param);
  if (!byKey.has(state.x)) state.x = (first || byKey.get("when")).key;
  if (!byKey.has(state.y)) state.y = "score";
  const change = (name) => (value) => { state[name] = value; drawCharts(); keep(); };
  axesForm.append(choice("across", "across", axisNames, state.x, change("x")), choice("up", "up", axisNames, state.y, change("y")));
  linesForm.append(element("p", "note", "The columns of the table, parameters first; shaded by the vertical axis of the scatter plot."));
  for (const form of [axesForm, linesForm]) form.addEventListener("submit", (event) => event.preventDefault());
}

function drawCharts() {
  const y = byKey.get(state.y);
  document.getElementById("scatter").replaceChildren(scatter(byKey.get(state.x), y));
  const shown = state.columns.map((key) => byKey.get(key)).filter((column) => column.param || (column.number && column.key !== "when"));
  const values = (column) => new Set(visible.map((run) => String(column.value(run)))).size;
  const several = shown.filter((column) => values(column) > 1);
  const columns = [...several.filter((column) => column.param), ...several.filter((column) => !column.param)];
  document.getElementById("parallel").replaceChildren(parallel(columns, y));
  markPins();
}
