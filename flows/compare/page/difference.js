// Two pinned runs: what differs between them, and the rows that one has right and the other wrong.

const pinned = document.getElementById("pinned");
const PAGE = 10;
const rowState = { show: "all", search: "", candidate: "" };

function pairTable(label, heads, rows) {
  const cells = (row) => row.map((content, at) => {
    const cell = element(at ? "td" : "th", "", content);
    if (!at) cell.scope = "row";
    return cell;
  });
  const columns = heads.map((name) => {
    const head = element("th", "", name);
    head.scope = "col";
    return head;
  });
  const body = element("table", "", element("thead", "", element("tr", "", ...columns)),
    element("tbody", "", ...rows.map((row) => element("tr", "", ...cells(row)))));
  body.setAttribute("aria-label", label);
  const wide = element("div", "wide", body);
  wide.tabIndex = 0;
  return wide;
}

// Candidates whose answers of both runs are here: first the one that decides in the first, then the second run's.
function answered(first, second) {
  const both = Object.keys(first.answers || {}).filter((name) => second.answers && name in second.answers);
  const rank = (name) => (name === first.candidate ? 0 : name === second.candidate ? 1 : 2);
  return both.sort((a, b) => rank(a) - rank(b));
}

// The rows that both were asked, with both answers and scores; more is better, whatever the metric.
function pairs(first, second, candidate) {
  const sign = data.scores.some((score) => score.metric === first.metric && score.lower) ? -1 : 1;
  const [ours, theirs] = [first.answers[candidate], second.answers[candidate]];
  const of = new Map(data.answers.sets[theirs.rows].map((row, at) => [row, at]));
  return data.answers.sets[ours.rows].flatMap((row, at) => {
    const other = of.get(row);
    if (other === undefined) return [];
    const [one, two] = [ours.scores[at], theirs.scores[other]];
    return [{
      ...data.answers.rows[row], one, two, change: one === null || two === null ? 0 : sign * (two - one),
      outputs: [data.answers.texts[ours.texts[at]], data.answers.texts[theirs.texts[other]]],
      won: sign > 0 && !(one >= 1) && two >= 1, lost: sign > 0 && one >= 1 && !(two >= 1),
    }];
  });
}

const KINDS = {
  all: ["answers that differ", (row) => row.outputs[0] !== row.outputs[1]],
  flipped: ["flipped, either way", (row) => row.won || row.lost],
  lost: ["right, then wrong", (row) => row.lost],
  won: ["wrong, then right", (row) => row.won],
  higher: ["second scores higher", (row) => row.change > 0],
  lower: ["second scores lower", (row) => row.change < 0],
};

function rowArticle(row, names) {
  const body = element("tbody", "", line("reference", element("code", "", row.reference), "", "reference"));
  names.forEach((name, at) => {
    const score = digits([row.one, row.two][at]);
    body.append(line(name, marked(row.reference, row.outputs[at]), `score ${score}`));
  });
  const kind = row.lost ? "right, then wrong" : row.won ? "wrong, then right" : `change ${digits(row.change)}`;
  const article = element("article", "sample", element("p", "id", `${row.id} · ${kind}`),
    element("pre", "prompt", row.prompt), element("table", "answers", body));
  article.dataset.id = row.id;
  return article;
}

function drawRows(list, count, all, names) {
  const wanted = rowState.search.toLowerCase();
  const rows = all.filter((row) => KINDS[rowState.show][1](row)
    && (!wanted || [row.id, row.prompt, row.reference, ...row.outputs].some((part) => part.toLowerCase().includes(wanted))));
  rows.sort((a, b) => a.change - b.change);
  count.textContent = `${rows.length} of ${all.length} rows that both were asked; the most lost first`;
  list.replaceChildren(...rows.slice(0, PAGE).map((row) => rowArticle(row, names)));
  if (rows.length <= PAGE) return;
  const more = element("button", "", `Show the other ${rows.length - PAGE}`);
  more.type = "button";
  more.addEventListener("click", () => more.replaceWith(...rows.slice(PAGE).map((row) => rowArticle(row, names))));
  list.append(more);
}

function rowsSection(first, second) {
  if (first.metric !== second.metric) return [element("p", "note", "Their decisions use different metrics, so rows are not compared.")];
  const candidates = answered(first, second);
  const command = `temper compare ${first.commit.slice(0, 10)} ${second.commit.slice(0, 10)}`;
  if (candidates.length === 0) {
    return [element("p", "note", "This page has no answers of the same candidate for both runs: DVC's cache lacks them "
      + "(dvc fetch --all-commits), or newer runs fill it. ", element("code", "", command), " compares them.")];
  }
  const candidate = candidates.includes(rowState.candidate) ? rowState.candidate : candidates[0];
  const all = pairs(first, second, candidate), names = [first.name, second.name];
  const won = all.filter((row) => row.won).length, lost = all.filter((row) => row.lost).length;
  const list = element("div"), count = element("p", "note"), form = element("form", "filters still");
  count.setAttribute("role", "status");
  const search = element("input");
  search.type = "search";
  search.value = rowState.search;
  search.addEventListener("input", () => { rowState.search = search.value; drawRows(list, count, all, names); });
  const whose = choice("whose", "answers of", candidates.map((name) => [name, data.candidate_names[name] || name]), candidate, (value) => {
    rowState.candidate = value;
    drawDifference();
    document.getElementById("whose").focus();
  });
  form.append(whose, choice("kind", "show", Object.entries(KINDS).map(([key, [name]]) => [key, name]), rowState.show,
    (value) => { rowState.show = value; drawRows(list, count, all, names); }), element("label", "", "search ", search));
  form.addEventListener("submit", (event) => event.preventDefault());
  drawRows(list, count, all, names);
  const flips = element("p", "", `${all.length} rows: ${won} wrong in the first and right in the second, `,
    `${lost} the other way round.`);
  flips.id = "flips";
  const others = [first, second].some((run) => run.answers && Object.keys(run.answers).length < evaluated(run))
    ? element("p", "note", "For older runs, the page has only the answers of the candidate that decides; ",
      element("code", "", `${command} --candidate NAME`), " has those of others.") : "";
  return [element("h3", "", "Rows"), flips, others, form, count, list];
}

// How many candidates a run has scores of.
function evaluated(run) {
  return new Set(data.scores.filter((score, at) => !score.task && run.scores[at]).map((score) => score.candidate)).size;
}

function drawDifference() {
  const runs = state.pins.map((commit) => data.runs.find((run) => run.commit === commit));
  if (runs.length < 2) {
    const missing = runs.length ? `Pinned: ${runs[0].name}. Pin one more run` : "Pin two runs in the table";
    pinned.replaceChildren(element("p", "note", `${missing} to see what differs, row by row.`));
    return;
  }
  const [first, second] = runs;
  const swap = element("button", "", "Swap");
  swap.type = "button";
  swap.addEventListener("click", () => { state.pins.reverse(); drawDifference(); keep(); pinned.querySelector("button").focus(); });
  const params = data.params.flatMap((name, at) => {
    const values = runs.map((run) => text(run.params[at]));
    return values[0] === values[1] ? [] : [[element("code", "", name), ...values.map((value) => element("code", "", value))]];
  });
  const scoresOf = (wanted) => data.scores.flatMap((score, at) => {
    const both = runs.map((run) => run.scores[at]);
    if (wanted !== (score.candidate === first.candidate) || (!both[0] && !both[1])) return [];
    const change = both[0] && both[1] ? both[1][0] - both[0][0] : null;
    return [[score.name, ...both.map(interval), change === null ? "–" : `${change > 0 ? "+" : ""}${digits(change)}`]];
  });
  const heads = [first.name, second.name], scoreHeads = ["score", ...heads, "change"];
  const others = scoresOf(false);
  pinned.replaceChildren(
    element("p", "", element("strong", "", first.name), " and ", element("strong", "", second.name), " ", swap),
    element("h3", "", "Parameters"),
    params.length ? pairTable("Parameters that differ", ["parameter", ...heads], params)
      : element("p", "note", "The same."),
    element("h3", "", "Scores"), pairTable("Scores", scoreHeads, scoresOf(true)),
    others.length ? element("details", "", element("summary", "", `Other candidates (${others.length} scores)`),
      pairTable("Scores of other candidates", scoreHeads, others)) : "",
    ...rowsSection(first, second));
}
