"""The record of every response: a file of lines for DVC, and beside it a database that works while the stage runs.

Each response is in the database before it is used, so a kill of any process loses none that arrived (the database is
in SQLite's write-ahead mode; a power cut may lose the last ones). At its end the stage writes all of them as lines in
the order of their keys. Neither is ever held in memory.
"""

import json
import math
import re
import sqlite3
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.core.errors import InputError
from tasks.core.files import written
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Budget

DATABASE = "record.sqlite"
"""Name of the store's database in the pipeline's folder."""

STOP = "stop.json"
"""File in the pipeline's folder that says why nothing more can be asked: `{"kind", "message"}`."""

LINE = re.compile(r'\{"key": "([0-9a-f]{64})", "(response|failed|closed)": .*\}\n')
"""How a line begins says what it is: a response, a request that failed for good, a run whose budget was used up."""

NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""How bytes that are no UTF-8 are read."""

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
class ResponseUsage:
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


def _close(database: sqlite3.Connection) -> None:
    with suppress(sqlite3.ProgrammingError):  # of another thread, whose end closes it
        database.close()


class ResponseStore:
    """Responses by the key of their request, and which of them each run has used. Several processes may share one."""

    def __init__(self, path: Path) -> None:
        """Open or make the database at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=120, isolation_level=None)
        # Who forgets a store without closing it has its database closed: from 3.13 on Python warns where nobody did.
        weakref.finalize(self, _close, self._database).atexit = False
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)
        self._database.execute("INSERT INTO counted SELECT 0 WHERE NOT EXISTS (SELECT * FROM counted)")

    def close(self) -> None:
        self._database.close()

    def get(self, key: str) -> Response | None:
        """The response to the request of this key, or None. One that was lent is kept as if it had arrived here."""
        if (line := self._find(key)) is None:
            return None
        entry = json.loads(line)
        return Response.from_dict(entry["response"]) if "response" in entry else Response(failed=entry["failed"])

    def _find(self, key: str) -> str | None:
        query, values = "SELECT line FROM lines WHERE key = ?", (key,)
        row = self._database.execute(query, values).fetchone()
        if row is None:
            adopt = "INSERT OR IGNORE INTO lines SELECT * FROM lent WHERE key = ? AND kind != 'failed'"
            if self._database.execute(adopt, values).rowcount:
                row = self._database.execute(query, values).fetchone()
        return row[0] if row else None

    def put(self, request: Request, response: Response) -> None:
        """Keep `response`; an earlier failure of the same request gives way."""
        kind, value = ("response", response.as_dict()) if response.failed is None else ("failed", response.failed)
        self._put(request.key, kind, {kind: value, "request": request.as_dict()})

    def _put(self, key: str, kind: str, entry: dict[str, Any]) -> None:
        line = json.dumps({"key": key, **entry}, ensure_ascii=False)
        line = line.encode(errors="replace").decode()  # half of a surrogate pair, which a cut-off answer may end with
        self._database.execute("INSERT OR REPLACE INTO lines VALUES (?, ?, ?)", (key, kind, line))

    def start_run(self, run: str) -> None:
        """Count what earlier attempts of `run` used as spent, and nothing as under way."""
        self._database.execute("DELETE FROM gates")
        totals = self.totals(run)
        values = (run, totals.input_tokens + totals.output_tokens, totals.cost)
        self._database.execute("INSERT OR REPLACE INTO spending VALUES (?, ?, ?, 0)", values)

    def record_use(self, run: str, attempt: str, key: str, spent: ResponseUsage) -> None:
        """Note that `run` used a response, now in its `attempt`; it is counted as spent once."""
        row = (run, key, attempt, spent.sent, spent.answered, spent.cost)
        new = "INSERT OR IGNORE INTO used VALUES (?, ?, ?, ?, ?, ?)"
        tokens, cost = spent.sent + spent.answered, spent.cost
        if not self._database.execute(new, row).rowcount:
            self._database.execute("UPDATE used SET attempt = ? WHERE run = ? AND key = ?", (attempt, run, key))
            tokens, cost = 0, 0.0
        more = "UPDATE spending SET tokens = tokens + ?, cost = cost + ?, uses = uses + 1 WHERE run = ?"
        self._database.execute(more, (tokens, cost, run))

    def count_uses(self, run: str) -> int:
        """How often `run` has used a response, replayed or new, since it began."""
        row = self._database.execute("SELECT uses FROM spending WHERE run = ?", (run,)).fetchone()
        return int(row[0]) if row else 0

    def spend(self, run: str, tokens: float, cost: float, budget: Budget | None = None) -> bool:
        """Add to what `run` has spent (or, below zero, give back); not, and False, where it would pass `budget`."""
        most = (budget.max_tokens if budget else None, budget.max_cost if budget else None)
        limits = [math.inf if limit is None else limit for limit in most]
        query = "UPDATE spending SET tokens = tokens + ?1, cost = cost + ?2 WHERE run = ?3"
        query += " AND tokens + ?1 <= ?4 AND cost + ?2 <= ?5"
        return bool(self._database.execute(query, (tokens, cost, run, *limits)).rowcount)

    def acquire(self, server: str, limit: int) -> bool:
        """Count one more request in flight to `server`; False where that would be more than `limit`."""
        query = "INSERT INTO gates VALUES (?1, 1, 0) ON CONFLICT DO UPDATE SET under_way = under_way + 1"
        return bool(self._database.execute(f"{query} WHERE under_way < ?2", (server, limit)).rowcount)

    def release(self, server: str) -> None:
        """Count one request in flight to `server` less."""
        self._database.execute("UPDATE gates SET under_way = under_way - 1 WHERE name = ?", (server,))

    def next_start(self, server: str, now: float, interval: float) -> float:
        """When the next request may start (seconds of the monotonic clock), `interval` seconds after the one before."""
        query = "UPDATE gates SET next = MAX(next, ?) + ? WHERE name = ? RETURNING next"
        return float(self._database.execute(query, (now, interval, server)).fetchall()[0][0]) - interval

    def totals(self, run: str, attempt: str | None = None) -> Totals:
        """What the responses that `run` used took: in all its attempts, or in one."""
        query = "SELECT COUNT(*), TOTAL(sent), TOTAL(answered), TOTAL(cost) FROM used WHERE run = ?"
        values: tuple[str, ...] = (run,)
        if attempt is not None:
            query, values = f"{query} AND attempt = ?", (run, attempt)
        count, sent, answered, cost = self._database.execute(query, values).fetchone()
        return Totals(count, int(sent), int(answered), round(cost, 6))

    def __len__(self) -> int:
        """Responses that were paid for."""
        return int(self._database.execute("SELECT responses FROM counted").fetchone()[0])

    def close_run(self, run: str) -> None:
        """Note that the budget of `run` is used up: it asks nothing more, now or when it is repeated."""
        self._put(run, "closed", {"closed": "budget"})

    def is_closed(self, run: str) -> bool:
        """Whether the budget of `run` was used up, in whatever attempt."""
        return self._find(run) is not None

    def forget_failures(self) -> None:
        """Forget requests that failed, so that they are asked again."""
        self._database.execute("DELETE FROM lines WHERE kind = 'failed'")

    def load_shared(self, folder: Path) -> None:
        """Look up in the records that lie in `folder`, too, instead of those that were lent before.

        They are other runs' own: only what is used of them comes into this one. Raises `InputError` as `load` does.
        """
        self._database.execute("DELETE FROM lent")
        for file in sorted(folder.glob("*.jsonl")):
            self.load(file, "lent")

    def load(self, path: Path, table: Literal["lines", "lent"] = "lines") -> int:
        """Take in the lines of a record that was written before; what is here already stays. Return its responses.

        Raises `InputError` for a line that is none of a record.
        """
        responses = 0
        if not path.is_file():
            return responses
        with path.open(encoding="utf-8", errors="surrogateescape") as file:  # such bytes are in no line of a record
            self._database.execute("BEGIN")
            for number, line in enumerate(file, 1):
                if line == EMPTY:
                    continue
                if not (match := LINE.fullmatch(line)) or NOT_UTF8.search(line):
                    self._database.execute("ROLLBACK")
                    raise InputError(
                        f"{path}, line {number}: not a valid line of a response record; restore the file with `dvc "
                        "checkout` or `dvc pull`, or remove it to pay for all responses again."
                    )
                responses += match[2] == "response"
                values = (match[1], match[2], line.rstrip("\n"))
                self._database.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)", values)
            self._database.execute("COMMIT")
        return responses

    def save(self, path: Path) -> None:
        """Write all as lines, in the order of their keys: equal records give equal bytes."""
        with written(path) as aside, aside.open("w", encoding="utf-8") as file:
            for (line,) in self._database.execute("SELECT line FROM lines ORDER BY key"):
                file.write(f"{line}\n")
            if not file.tell():
                file.write(EMPTY)
