// The table: a line a run, made once, and again where the columns change; those further down as one scrolls to them.

const table = document.getElementById("table");
const lines = new Map();
const CHUNK = 50; // more lines than a screen has, few enough to lay out at once
let visible = [], drawn = 0;

function header(key, name, column) {
  const button = element("button", "sort", name);
  button.type = "button";
  button.addEventListener("click", () => {
    const down = column ? column.number && !column.lower : false;
    if (state.sort === key && state.down !== down) state.sort = ""; // the third click: as they came
    else if (state.sort === key) state.down = !state.down;
    else Object.assign(state, { sort: key, down });
    drawTable();
    keep();
    table.querySelector(`[data-key="${CSS.escape(key)}"] button`)?.focus();
  });
  const head = element("th", column && column.number ? "n" : "", button);
  head.scope = "col";
  head.dataset.key = key;
  if (column && column.code) head.classList.add("code");
  if (state.sort === key) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
  return head;
}

function named(run) {
  const name = run.report ? element("a", "", run.name) : element("span", "", run.name);
  if (run.report) name.href = run.report;
  const below = element("div", "note", element("code", "", run.commit.slice(0, 10)));
  if (run.address) {
    const link = element("a", "", "flow run");
    link.href = run.address;
    below.append(" · ", link);
  }
  return [name, below];
}

function pinBox(run) {
  const box = element("input", "pin");
  box.type = "checkbox";
  box.checked = state.pins.includes(run.commit);
  box.setAttribute("aria-label", `pin ${run.name}`);
  box.addEventListener("change", () => pin(run));
  return box;
}

function makeLine(run) {
  const head = element("th", "name", ...named(run));
  head.scope = "row";
  const row = element("tr", "", element("td", "", pinBox(run)), head);
  row.dataset.commit = run.commit;
  for (const key of state.columns) {
    const column = byKey.get(key);
    row.append(element("td", column.number ? "n" : "", column.show(run), column.more ? ` ${column.more(run)}` : ""));
  }
  return row;
}

function lineOf(run) {
  if (!lines.has(run)) lines.set(run, makeLine(run));
  const row = lines.get(run), pinned = state.pins.includes(run.commit);
  row.classList.toggle("pinned", pinned);
  row.querySelector("input").checked = pinned;
  return row;
}

function addLines(count) {
  table.tBodies[0].append(...visible.slice(drawn, drawn + count).map(lineOf));
  drawn = Math.min(visible.length, drawn + count);
}

function drawTable() {
  visible = sorted(filtered());
  const heads = state.columns.map((key) => header(key, byKey.get(key).name, byKey.get(key)));
  const first = element("th", "", element("span", "hidden", "pinned"));
  first.scope = "col";
  table.tHead.replaceChildren(element("tr", "", first, header("name", "run"), ...heads));
  table.tBodies[0].replaceChildren();
  drawn = 0;
  addLines(CHUNK);
  table.parentElement.scrollTop = 0;
  table.setAttribute("aria-rowcount", visible.length + 1);
  document.getElementById("count").textContent = `${visible.length} of ${data.runs.length} runs`;
}

table.parentElement.addEventListener("scroll", ({ target }) => {
  if (target.scrollTop + 3 * target.clientHeight > target.scrollHeight) addLines(CHUNK);
}, { passive: true });
addEventListener("beforeprint", () => addLines(visible.length));

// Two at most: a third takes the place of the older one.
function pin(run) {
  state.pins = state.pins.includes(run.commit)
    ? state.pins.filter((commit) => commit !== run.commit) : [...state.pins, run.commit].slice(-2);
  for (const known of lines.keys()) lineOf(known);
  drawDifference();
  markPins();
  keep();
}
