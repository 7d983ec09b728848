// The page begins.

let waiting = 0;

// The table at once, and the charts when there is time: nobody waits for them who types.
function draw() {
  drawTable();
  clearTimeout(waiting);
  waiting = setTimeout(drawCharts, 150);
  keep();
}

function filterForm() {
  const form = document.getElementById("filters"), search = element("input");
  search.id = "search";
  search.type = "search";
  search.value = state.search;
  search.placeholder = "r>8 method=lora";
  search.setAttribute("aria-describedby", "help");
  search.addEventListener("input", () => { state.search = search.value; draw(); });
  const decisions = [["", "all"], ["true", "allowed"], ["false", "refused"], ["null", "none"]];
  const help = element("span", "note", "words, or r>8, method=lora, score>=0.5");
  help.id = "help";
  form.append(element("label", "", "search ", search),
    choice("decision", "promotion", decisions, state.decision, (value) => { state.decision = value; draw(); }), help);
  form.addEventListener("submit", (event) => event.preventDefault());
}

function columnList() {
  const box = document.getElementById("columns");
  for (const group of [...new Set(COLUMNS.map((column) => column.group))]) {
    const set = element("fieldset", "", element("legend", "", group));
    for (const column of COLUMNS.filter((one) => one.group === group)) {
      const input = element("input");
      input.type = "checkbox";
      input.checked = state.columns.includes(column.key);
      input.addEventListener("change", () => {
        const chosen = new Set(state.columns);
        if (input.checked) chosen.add(column.key);
        else chosen.delete(column.key);
        state.columns = COLUMNS.map((one) => one.key).filter((key) => chosen.has(key));
        lines.clear();
        draw();
      });
      set.append(element("label", "", input, ` ${column.name}`));
    }
    box.append(set);
  }
}

document.getElementById("title").textContent = `Runs of ${data.project}`;
document.getElementById("lead").textContent = `The newest first${data.most ? `, ${data.most} at most` : ""}; “changed” names `
  + "the parameters that differ from the commit before. Intervals hold 95 %.";
filterForm();
columnList();
chartForms();
drawTable();
drawDifference();
drawBoards();
drawHistory();
setTimeout(() => {
  drawCharts();
  document.body.dataset.ready = "yes";
}, 0);
