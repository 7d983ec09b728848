// What a run has, as columns: how each is named, sorted, shown, and drawn as an axis.

function digits(value) {
  return value === null || value === undefined ? "–" : String(Number(value.toPrecision(4)));
}

// A score with its interval below; `better` colours a gain.
function interval(score) {
  if (!score) return "–";
  const [value, low, high] = score;
  const range = low === null || high === null ? "" : `${digits(low)} – ${digits(high)}`;
  return element("span", "", element("span", "strong", digits(value)), " ", element("span", "soft", range));
}

function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

// A parameter as it would stand in params.yaml; of a revision, as much as tells it from others.
function text(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value.replace(/@([0-9a-f]{8})[0-9a-f]{32}$/, "@$1…") : JSON.stringify(value);
}

// Sentences fold: a line that opens.
function folded(short, long) {
  if (!long || long === short) return short;
  return element("details", "fold", element("summary", "", short), element("p", "", long));
}

function verdict(run) {
  const kind = run.promote === null ? "soft" : run.promote ? "right" : "wrong";
  return element("span", kind, folded(run.verdict, run.promote === false ? run.reason : ""));
}

function changes(run) {
  if (run.changed.length === 0) return "–";
  const first = run.changed[0], rest = run.changed.length - 1;
  const short = `${first.length > 36 ? `${first.slice(0, 35)}…` : first}${rest ? ` and ${rest} more` : ""}`;
  return folded(short, run.changed.join("; "));
}

const metrics = new Set(data.runs.map((run) => run.metric).filter(Boolean));
const main = metrics.size === 1 ? data.metric_names[[...metrics][0]] : "score";

// `value` sorts and places on an axis, `show` makes the cell; `group` is where the list of columns has it.
const COLUMNS = [
  { key: "score", name: main, group: "Result", number: true, value: (run) => run.score && run.score[0],
    show: (run) => interval(run.score), more: (run) => (metrics.size > 1 && data.metric_names[run.metric]) || "" },
  { key: "gain", name: "gain over base", group: "Result", number: true, value: (run) => run.gain,
    show: (run) => (run.gain === null ? "–" : `${run.gain > 0 ? "+" : ""}${digits(run.gain)}`) },
  { key: "p", name: "p", group: "Result", number: true, lower: true, value: (run) => run.p, show: (run) => digits(run.p) },
  { key: "rows", name: "rows", group: "Result", number: true, value: (run) => run.n, show: (run) => digits(run.n),
    // scores compare only on the same test rows
    more: (run) => (run.test_rows ? `set ${run.test_rows}` : "") },
  { key: "decision", name: "promotion", group: "Result", value: (run) => run.verdict, show: verdict },
  { key: "stage", name: "stage", group: "Result", value: (run) => run.stages.join(", ") || null,
    show: (run) => run.stages.join(", ") || "–" },
  ...data.params.map((name, at) => ({
    key: name, name, group: "Parameters that differ", param: true, code: true,
    number: data.runs.every((run) => run.params[at] === null || typeof run.params[at] === "number"),
    value: (run) => run.params[at],
    show: (run) => {
      const cell = element("code", "", text(run.params[at]));
      cell.title = cell.textContent; // what is too long is cut
      return cell;
    },
  })),
  { key: "training", name: "training time", group: "Price", number: true, lower: true, value: (run) => run.training,
    show: (run) => duration(run.training) },
  { key: "cost", name: "cost of training", group: "Price", number: true, lower: true, value: (run) => run.cost,
    show: (run) => (run.cost === null ? "–" : run.cost.toFixed(2)) },
  ...data.scores.map((score, at) => ({
    key: `score ${score.name}`, name: score.name, group: "Scores", number: true, lower: score.lower,
    value: (run) => run.scores[at] && run.scores[at][0], show: (run) => interval(run.scores[at]),
  })),
  { key: "who", name: "who", group: "Run", value: (run) => run.who, show: (run) => run.who },
  { key: "when", name: "when", group: "Run", value: (run) => Date.parse(run.when) || null,
    show: (run) => run.when.slice(0, 16).replace("T", " ") },
  { key: "changed", name: "changed", group: "Run", value: (run) => run.changed.join("; "), show: changes },
];

// A parameter is worth a column at once where few others differ; one that each run has of its own, seldom.
const FIRST = 5;
const shownFirst = [
  "score", "gain", "decision",
  ...(data.runs.some((run) => run.stages.length) ? ["stage"] : []),
  ...COLUMNS.filter((column) => column.param).slice(0, FIRST).map((column) => column.key),
  ...(data.runs.some((run) => run.training !== null) ? ["training"] : []),
  ...(data.runs.some((run) => run.cost !== null) ? ["cost"] : []),
  "when", "changed",
];

// The page's state, kept in its address, so that it is there again after a new `temper compare`.
const state = { columns: shownFirst, sort: "", down: true, search: "", decision: "", pins: [], x: "", y: "score" };
try {
  Object.assign(state, JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}"));
} catch {
  // an address that names a section
}
const byKey = new Map(COLUMNS.map((column) => [column.key, column]));
state.columns = state.columns.filter((key) => byKey.has(key));
state.pins = state.pins.filter((commit) => data.runs.some((run) => run.commit === commit));

function keep() {
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(state))}`);
}
