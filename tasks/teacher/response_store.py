"""The record of every response: a file of lines for DVC, and beside it a database that works while the stage runs.

Each response is in the database before it is used, so a kill of any process loses none that arrived (the database is
in SQLite's write-ahead mode; a power cut may lose the last ones). At its end the stage writes all of them as lines in
the order of their keys. Neither is ever held in memory.
"""

import json
import math
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.core.errors import InputError
from tasks.core.files import written
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Budget

RECORD = "record.sqlite"
"""Name of the record's database in the pipeline's folder."""

STOP = "stop.json"
"""File in the pipeline's folder that says why nothing more can be asked: `{"kind", "said"}`."""

LINE = re.compile(r'\{"key": "([0-9a-f]{64})", "(response|failed|closed)": .*\}\n')
"""How a line begins says what it is: a response, a request that failed for good, a run whose budget was used up."""

EMPTY = '{"responses": 0}\n'
"""All that a record without responses says: DVC warns of files that are empty."""

_TABLES = """
CREATE TABLE IF NOT EXISTS lines (key TEXT PRIMARY KEY, kind TEXT, line TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lent (key TEXT PRIMARY KEY, kind TEXT, line TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS failures ON lines (kind) WHERE kind = 'failed';
CREATE TABLE IF NOT EXISTS counted (responses INTEGER);
CREATE TRIGGER IF NOT EXISTS count_one AFTER INSERT ON lines WHEN NEW.kind = 'response'
    BEGIN UPDATE counted SET responses = responses + 1; END;
CREATE TABLE IF NOT EXISTS used (run TEXT, key TEXT, attempt TEXT, sent INTEGER, answered INTEGER, cost REAL,
    PRIMARY KEY (run, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gates (name TEXT PRIMARY KEY, under_way INTEGER, next REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (run TEXT PRIMARY KEY, tokens REAL, cost REAL, uses INTEGER) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Spent:
    """What one response took: tokens sent, tokens answered, and their cost."""

    sent: int
    answered: int
    cost: float


@dataclass(frozen=True)
class Totals:
    """What the responses of a run took."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost: float


class Record:
    """Responses by the key of their request, and which of them each run has used. Several processes may share one."""

    def __init__(self, path: Path) -> None:
        """Open or make the database at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, timeout=120, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.executescript(_TABLES)
        self._base.execute("INSERT INTO counted SELECT 0 WHERE NOT EXISTS (SELECT * FROM counted)")

    def close(self) -> None:
        self._base.close()

    def get(self, key: str) -> Response | None:
        """The response to the request of this key, or None. One that was lent is kept as if it had arrived here."""
        if (line := self._find(key)) is None:
            return None
        said = json.loads(line)
        return Response.from_dict(said["response"]) if "response" in said else Response(failed=said["failed"])

    def _find(self, key: str) -> str | None:
        asked, values = "SELECT line FROM lines WHERE key = ?", (key,)
        row = self._base.execute(asked, values).fetchone()
        if row is None:
            taken = "INSERT OR IGNORE INTO lines SELECT * FROM lent WHERE key = ? AND kind != 'failed'"
            if self._base.execute(taken, values).rowcount:
                row = self._base.execute(asked, values).fetchone()
        return row[0] if row else None

    def put(self, request: Request, response: Response) -> None:
        """Keep `response`; an earlier failure of the same request gives way."""
        kind, value = ("response", response.as_dict()) if response.failed is None else ("failed", response.failed)
        self._put(request.key, kind, {kind: value, "request": request.as_dict()})

    def _put(self, key: str, kind: str, said: dict[str, Any]) -> None:
        line = json.dumps({"key": key, **said}, ensure_ascii=False)
        line = line.encode(errors="replace").decode()  # half of a surrogate pair, which a cut-off answer may end with
        self._base.execute("INSERT OR REPLACE INTO lines VALUES (?, ?, ?)", (key, kind, line))

    def begin(self, run: str) -> None:
        """Count what earlier attempts of `run` used as spent, and nothing as under way."""
        self._base.execute("DELETE FROM gates")
        before = self.totals(run)
        values = (run, before.input_tokens + before.output_tokens, before.cost)
        self._base.execute("INSERT OR REPLACE INTO spending VALUES (?, ?, ?, 0)", values)

    def use(self, run: str, attempt: str, key: str, spent: Spent) -> None:
        """Note that `run` used a response, now in its `attempt`; it is counted as spent once."""
        row = (run, key, attempt, spent.sent, spent.answered, spent.cost)
        new = "INSERT OR IGNORE INTO used VALUES (?, ?, ?, ?, ?, ?)"
        tokens, cost = spent.sent + spent.answered, spent.cost
        if not self._base.execute(new, row).rowcount:
            self._base.execute("UPDATE used SET attempt = ? WHERE run = ? AND key = ?", (attempt, run, key))
            tokens, cost = 0, 0.0
        more = "UPDATE spending SET tokens = tokens + ?, cost = cost + ?, uses = uses + 1 WHERE run = ?"
        self._base.execute(more, (tokens, cost, run))

    def uses(self, run: str) -> int:
        """How often `run` has used a response, replayed or new, since it began."""
        found = self._base.execute("SELECT uses FROM spending WHERE run = ?", (run,)).fetchone()
        return int(found[0]) if found else 0

    def spend(self, run: str, tokens: float, cost: float, budget: Budget | None = None) -> bool:
        """Add to what `run` has spent (or, below zero, give back); not, and False, where it would pass `budget`."""
        most = (budget.max_tokens if budget else None, budget.max_cost if budget else None)
        limits = [math.inf if limit is None else limit for limit in most]
        query = "UPDATE spending SET tokens = tokens + ?1, cost = cost + ?2 WHERE run = ?3"
        query += " AND tokens + ?1 <= ?4 AND cost + ?2 <= ?5"
        return bool(self._base.execute(query, (tokens, cost, run, *limits)).rowcount)

    def enter(self, gate: str, most: int) -> bool:
        """Take a place at `gate`, where fewer than `most` requests are under way."""
        query = "INSERT INTO gates VALUES (?1, 1, 0) ON CONFLICT DO UPDATE SET under_way = under_way + 1"
        return bool(self._base.execute(f"{query} WHERE under_way < ?2", (gate, most)).rowcount)

    def leave(self, gate: str) -> None:
        """Give a place back."""
        self._base.execute("UPDATE gates SET under_way = under_way - 1 WHERE name = ?", (gate,))

    def slot(self, gate: str, now: float, interval: float) -> float:
        """When the next request may start (seconds of the monotonic clock), `interval` seconds after the one before."""
        query = "UPDATE gates SET next = MAX(next, ?) + ? WHERE name = ? RETURNING next"
        return float(self._base.execute(query, (now, interval, gate)).fetchall()[0][0]) - interval

    def totals(self, run: str, attempt: str | None = None) -> Totals:
        """What the responses that `run` used took: in all its attempts, or in one."""
        query = "SELECT COUNT(*), TOTAL(sent), TOTAL(answered), TOTAL(cost) FROM used WHERE run = ?"
        values: tuple[str, ...] = (run,)
        if attempt is not None:
            query, values = f"{query} AND attempt = ?", (run, attempt)
        count, sent, answered, cost = self._base.execute(query, values).fetchone()
        return Totals(count, int(sent), int(answered), round(cost, 6))

    def __len__(self) -> int:
        """Responses that were paid for."""
        return int(self._base.execute("SELECT responses FROM counted").fetchone()[0])

    def close_run(self, run: str) -> None:
        """Note that the budget of `run` is used up: it asks nothing more, now or when it is repeated."""
        self._put(run, "closed", {"closed": "budget"})

    def is_closed(self, run: str) -> bool:
        """Whether the budget of `run` was used up, in whatever attempt."""
        return self._find(run) is not None

    def forget_failures(self) -> None:
        """Forget requests that failed, so that they are asked again."""
        self._base.execute("DELETE FROM lines WHERE kind = 'failed'")

    def borrow(self, folder: Path) -> None:
        """Look up in the records that lie in `folder`, too, instead of those that were lent before.

        They are other runs' own: only what is used of them comes into this one. Raises `InputError` as `load` does.
        """
        self._base.execute("DELETE FROM lent")
        for file in sorted(folder.glob("*.jsonl")):
            self.load(file, "lent")

    def load(self, path: Path, table: Literal["lines", "lent"] = "lines") -> int:
        """Take in the lines of a record that was written before; what is here already stays. Return its responses.

        Raises `InputError` for a line that is none of a record.
        """
        responses = 0
        if not path.is_file():
            return responses
        with path.open(encoding="utf-8") as file:
            self._base.execute("BEGIN")
            for number, line in enumerate(file, 1):
                if line == EMPTY:
                    continue
                if not (found := LINE.fullmatch(line)):
                    self._base.execute("ROLLBACK")
                    raise InputError(
                        f"{path}, line {number}: not a line of a record of responses; restore the file by `dvc "
                        "checkout` or `dvc pull`, or remove it to pay for all responses again."
                    )
                responses += found[2] == "response"
                values = (found[1], found[2], line.rstrip("\n"))
                self._base.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)", values)
            self._base.execute("COMMIT")
        return responses

    def save(self, path: Path) -> None:
        """Write all as lines, in the order of their keys: equal records give equal bytes."""
        with written(path) as aside, aside.open("w", encoding="utf-8") as file:
            for (line,) in self._base.execute("SELECT line FROM lines ORDER BY key"):
                file.write(f"{line}\n")
            if not file.tell():
                file.write(EMPTY)
