const form = document.getElementById("filters");
const list = document.getElementById("list");
const count = document.getElementById("count");
const more = document.getElementById("more");
const PAGE = 50;
const state = { first: 0, second: 0, metric: 0, show: "all", order: "worst", search: "", slices: [] };
let shown = 0;

function filter(id, label, options, value, change) {
  form.append(choice(id, label, options, value, (chosen) => { change(chosen); draw(); }));
}

// More is better, whatever the metric; a row that could not be asked is the worst.
function score(row, candidate) {
  const value = row.answers[candidate].scores[state.metric];
  if (value === null) return -Infinity;
  return data.metrics[state.metric].lower ? -value : value;
}

const SHOWN = {
  all: ["all rows", () => true],
  wrong: ["first is not fully right", (row) => !(score(row, state.first) >= 1)],
  differ: ["answers differ", (row) => row.answers[state.first].output !== row.answers[state.second].output],
  better: ["first scores higher", (row) => score(row, state.first) > score(row, state.second)],
  worse: ["first scores lower", (row) => score(row, state.first) < score(row, state.second)],
};

if (data.candidates.some((candidate) => candidate.judged)) {
  const judged = (row) => row.answers[state.first].judged;
  SHOWN.judgedWorse = ["first is judged worse", (row) => judged(row)?.verdict === "loss"];
  SHOWN.judgedBetter = ["first is judged better", (row) => judged(row)?.verdict === "win"];
  SHOWN.turned = ["verdict turns with the order", (row) => Boolean(judged(row)?.turned)];
  SHOWN.unclear = ["no clear verdict", (row) => judged(row)?.verdict === null];
}

const ORDERS = {
  worst: ["worst first", (a, b) => compare(score(a, state.first), score(b, state.first))],
  lost: ["most lost first", (a, b) => compare(
    score(a, state.first) - score(a, state.second) || 0, score(b, state.first) - score(b, state.second) || 0)],
  given: ["as in the test split", () => 0],
};

function chosen() {
  const wanted = state.search.toLowerCase();
  const rows = data.rows.filter((row) =>
    state.slices.every((value, at) => value === "" || row.slices[at] === value)
    && SHOWN[state.show][1](row)
    && (wanted === "" || [row.id, row.reference, row.answers[state.first].prompt, row.answers[state.first].output,
      row.answers[state.second].output].some((text) => (text || "").toLowerCase().includes(wanted))));
  return rows.sort((a, b) => ORDERS[state.order][1](a, b) || a.at - b.at);
}

function detail(answer) {
  const scores = data.metrics.map((metric, at) => {
    const value = answer.scores[at];
    return `${metric.key.replaceAll("_", " ")} ${value === null ? "–" : Number(value.toFixed(4))}`;
  });
  return `${scores.join(" · ")} · ended: ${answer.finish.replaceAll("_", " ")}`;
}

const VERDICTS = { win: "better than", tie: "level with", loss: "worse than" };

// What a judge said of the answer, in a line, and in its own words for who wants them.
function judgement(candidate, judged) {
  const { by, against } = candidate.judged;
  const why = judged.turned ? ", as its verdict turns with the order"
    : judged.said.length ? "" : ", as both answers are the same";
  const told = judged.verdict === null ? "no clear verdict" : `${VERDICTS[judged.verdict]} ${against}${why}`;
  const made = element("div", "note judged", `judged by ${by}: ${told}`);
  if (!judged.said.length) return made;
  const words = element("details");
  words.append(element("summary", "", "what the judge said"));
  judged.said.forEach((text, at) => {
    words.append(element("div", "note", at === 0 ? "this answer first" : "this answer second"), element("pre", "prompt", text));
  });
  made.append(words);
  return made;
}

function answered(row, at) {
  const answer = row.answers[at], candidate = data.candidates[at];
  const made = line(candidate.name, marked(row.reference, answer.output), detail(answer));
  if (answer.judged) made.lastChild.append(judgement(candidate, answer.judged));
  return made;
}

function article(row) {
  const made = element("article", "sample");
  made.dataset.id = row.id;
  const slices = row.slices.filter((value) => value !== null);
  made.append(element("p", "id", [row.id, ...slices].join(" · ").replaceAll("_", " ")));
  const first = row.answers[state.first];
  made.append(element("pre", "prompt", first.prompt === null ? "(longer than the context; not asked)" : first.prompt));
  const table = element("table", "answers"), body = element("tbody");
  body.append(line("reference", element("code", "", row.reference), "", "reference"));
  for (const at of new Set([state.first, state.second])) body.append(answered(row, at));
  table.append(body);
  made.append(table);
  const others = element("details");
  others.append(element("summary", "", "all candidates"));
  others.addEventListener("toggle", () => {
    if (!others.open || others.childElementCount > 1) return;
    const all = element("table", "answers"), rest = element("tbody");
    data.candidates.forEach((candidate, at) => rest.append(answered(row, at)));
    all.append(rest);
    others.append(all);
  });
  made.append(others);
  return made;
}

let rows = [];
function add() {
  for (const row of rows.slice(shown, shown + PAGE)) list.append(article(row));
  shown = Math.min(shown + PAGE, rows.length);
  more.hidden = shown >= rows.length;
  count.textContent = `${rows.length} of ${data.rows.length} rows`;
}

function draw() {
  rows = chosen();
  shown = 0;
  list.replaceChildren();
  add();
}

const names = data.candidates.map((candidate, at) => [at, candidate.name]);
state.first = data.candidates.findIndex((candidate) => candidate.key === data.first);
state.metric = data.metrics.findIndex((metric) => metric.key === data.main);
filter("first", "first", names, state.first, (value) => { state.first = Number(value); });
filter("second", "second", names, state.second, (value) => { state.second = Number(value); });
filter("metric", "by", data.metrics.map((metric, at) => [at, metric.key.replaceAll("_", " ")]), state.metric,
  (value) => { state.metric = Number(value); });
filter("show", "show", Object.entries(SHOWN).map(([key, [text]]) => [key, text]), state.show,
  (value) => { state.show = value; });
filter("order", "order", Object.entries(ORDERS).map(([key, [text]]) => [key, text]), state.order,
  (value) => { state.order = value; });
data.dimensions.forEach((dimension, at) => {
  state.slices.push("");
  const values = [...new Set(data.rows.map((row) => row.slices[at]))].filter((value) => value !== null).sort();
  filter(dimension, dimension, [["", "all"], ...values.map((value) => [value, value.replaceAll("_", " ")])], "",
    (value) => { state.slices[at] = value; });
});
const field = element("label", "", "search "), input = element("input");
input.id = "search";
input.type = "search";
input.addEventListener("input", () => { state.search = input.value; draw(); });
field.append(input);
form.append(field);
form.addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", add);
draw();
