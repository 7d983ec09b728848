// Bases side by side, and the project's history.

function reveal(id) {
  document.getElementById(id).hidden = false;
  document.querySelector(`nav a[href="#${id}"]`).hidden = false;
}

function board(leaderboard) {
  const heads = ["base", ...leaderboard.tasks.map(({ task, metric }) => `${task ? `${task.replaceAll("_", " ")}, ` : ""}${data.metric_names[metric]}`),
    "training time", "cost"];
  const rows = leaderboard.entries.map((entry) => {
    const others = entry.other_runs ? `, the best of ${entry.other_runs + 1} runs` : "";
    const name = [element("strong", "", entry.base), element("div", "note", `${entry.run}${others}`)];
    const cells = entry.scores.map(([before, after]) => element("span", "tasks",
      element("span", "", "base ", interval(before)), element("span", "", "tuned ", interval(after))));
    return [element("span", "", ...name), ...cells, duration(entry.training_seconds),
      entry.cost === null ? "–" : entry.cost.toFixed(2)];
  });
  return pairTable("Bases", heads, rows);
}

function drawBoards() {
  if (data.leaderboards.length === 0) return;
  reveal("bases");
  const boards = document.getElementById("boards");
  boards.append(element("p", "note", "Bases tuned and evaluated on the same held-out rows, best first; each score with its 95 % interval. "
    + "The best of several runs is flattered by chance: its interval is that of a single run."));
  for (const each of data.leaderboards) {
    if (data.leaderboards.length > 1) boards.append(element("h3", "", `Held-out rows ${each.rows.slice(0, 10)}`));
    boards.append(board(each));
  }
}

function nameOf(commit) {
  const known = data.runs.find((run) => run.commit === commit);
  return element("span", "", known ? `${known.name} ` : "", element("code", "", commit.slice(0, 10)));
}

function promotion(one) {
  const what = `${one.version || "a commit"}${one.revoked ? " taken back" : ""}`;
  const item = element("li", one.current ? "current" : "", element("strong", "", what), " ", nameOf(one.commit),
    one.current ? element("span", "badge", "now") : "");
  const whose = [one.when.slice(0, 16).replace("T", " "), one.who ? `by ${one.who}` : ""].filter(Boolean).join(", ");
  item.append(element("div", "note", whose));
  if (one.replaced && one.replaced !== one.commit) item.append(element("div", "", "in the place of ", nameOf(one.replaced)));
  if (one.scores) item.append(element("div", "", one.scores));
  if (one.why) item.append(folded(one.why.length > 90 ? `${one.why.slice(0, 89)}…` : one.why, one.why));
  return item;
}

function drawHistory() {
  if (data.history.length === 0) return;
  reveal("history");
  const box = document.getElementById("promotions");
  const stages = [...new Set(data.history.map((one) => one.stage))];
  for (const stage of stages) {
    const own = data.history.filter((one) => one.stage === stage), now = own.find((one) => one.current);
    box.append(element("h3", "", stage), element("p", "", now
      ? element("span", "", "Now ", element("strong", "", now.version || now.commit.slice(0, 10)), ", ", nameOf(now.commit), ".")
      : "No model has it at present."), element("ol", "history", ...own.map(promotion)));
  }
}
