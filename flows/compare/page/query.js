// The search: words that a run must hold, and comparisons such as r>8, method=lora or score>=0.5.

const COMPARISONS = {
  ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, "!=": (a, b) => a !== b,
  "=": (a, b) => a === b, ">": (a, b) => a > b, "<": (a, b) => a < b,
};

// The column that somebody means: its whole name, or the end of a dotted one.
function columnCalled(name) {
  const wanted = name.toLowerCase();
  const names = (column) => [column.key.toLowerCase(), column.name.toLowerCase().replaceAll(" ", "_")];
  return COLUMNS.find((column) => names(column).includes(wanted))
    || COLUMNS.find((column) => names(column)[0].endsWith(`.${wanted}`));
}

function condition(word) {
  const parts = word.match(/^([^<>=!]+)(>=|<=|!=|=|>|<)(.+)$/);
  const column = parts && columnCalled(parts[1]);
  if (!column) return (run, haystack) => haystack.includes(word.toLowerCase());
  const wanted = Number(parts[3]), holds = COMPARISONS[parts[2]];
  return (run) => {
    const value = column.value(run);
    if (value === null || value === undefined) return parts[2] === "!=";
    return typeof value === "number" && !Number.isNaN(wanted)
      ? holds(value, wanted) : holds(String(value).toLowerCase(), parts[3].toLowerCase());
  };
}

const haystacks = new Map(data.runs.map((run) => [run, [
  run.name, run.commit, run.who, run.verdict, run.metric, ...run.stages, ...run.changed,
  ...run.params.map((value, at) => `${data.params[at]}=${text(value)}`)].join("\n").toLowerCase()]));

function filtered() {
  const conditions = state.search.split(/\s+/).filter(Boolean).map(condition);
  return data.runs.filter((run) =>
    (state.decision === "" || String(run.promote) === state.decision)
    && conditions.every((holds) => holds(run, haystacks.get(run))));
}

function sorted(runs) {
  const column = byKey.get(state.sort) || (state.sort === "name" && { value: (run) => run.name });
  if (!column) return runs;
  const sign = state.down ? -1 : 1;
  return runs.map((run, at) => [column.value(run), at, run]).sort(([a, first], [b, second]) => {
    const absent = (value) => value === null || value === undefined;
    if (absent(a) || absent(b)) return absent(a) - absent(b) || first - second; // what is not known comes last
    const order = typeof a === typeof b ? compare(a, b) : compare(String(a), String(b));
    return sign * order || first - second;
  }).map(([, , run]) => run);
}
