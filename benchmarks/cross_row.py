"""`cross_row`: what `clean` decides between rows, by its own code, by DuckDB and by Polars, each in its own process.

A seed draws the keys: an eighth of the rows repeat the request of another row, three quarters of these with the same
answer and a quarter with another, which is a conflict. Every row draws its split (90 % train, 5 % validation and 5 %
test), so that some repetitions lie across splits. One row in a hundred left before, one in twenty is no dialogue, and
one in a thousand has the id of another row.

All ways make the same decisions: the reason of each row, whether it conflicts, and the rows whose id came before. The
digest of these must be one. temper reads the records of `tasks/clean/keys.py`, the peers read the same columns from
Parquet; nobody's time includes writing them. Memory is what a process needs for itself, as in `benchmarks/clean.py`.
DuckDB may use `LIMIT` of memory and spills the rest to disk; Polars has no such setting. The peers are looked for in
the environment whose folder is in TEMPER_PEERS.
"""

import hashlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.result import Result

GOAL = 1.0
"""Seconds for each second of the fastest peer, whatever memory that needs."""

SIZES = {False: 300_000, True: 10_000_000}
ROUNDS = {False: 3, True: 1}

LIMIT = os.environ.get("TEMPER_DUCKDB_MEMORY", "128MB")

DUPLICATE, ACROSS = 2, 3
"""Numbers of the two reasons in `tasks.clean.cross_row.REASONS`, which the peers' environment cannot import."""


@dataclass(frozen=True)
class Decisions:
    """For `n` rows: reasons `[n]` uint8, conflicting `[n]` bool, and the repeated ids as pairs of place and count."""

    reasons: npt.NDArray[np.uint8]
    conflicting: npt.NDArray[np.bool_]
    numbered: list[tuple[int, int]]

    def digest(self) -> str:
        """One hash of all."""
        pairs = np.array(sorted(self.numbered), np.int64)
        return hashlib.sha256(self.reasons.tobytes() + self.conflicting.tobytes() + pairs.tobytes()).hexdigest()

    def counts(self) -> dict[str, int]:
        """How many rows each decision concerns."""
        return {
            "duplicate": int((self.reasons == DUPLICATE).sum()),
            "duplicate_across_splits": int((self.reasons == ACROSS).sum()),
            "conflicting": int(self.conflicting.sum()),
            "numbered": len(self.numbered),
        }


def measure(full: bool) -> Result:
    """Every way on the same keys, in turn."""
    peers = Path(os.environ.get("TEMPER_PEERS", "")) / "bin/python"
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    missing: dict[str, str] = {}
    with TemporaryDirectory(prefix="temper-cross-row-") as folder:
        plant(Path(folder) / "few", 1000)
        plant(Path(folder) / "keys", SIZES[full])
        for _ in range(ROUNDS[full]):
            for name in WAYS:
                if name in missing:
                    continue
                try:
                    rounds[name].append(_child(Path(sys.executable) if name == "temper" else peers, name, Path(folder)))
                except (OSError, subprocess.CalledProcessError) as error:
                    if name == "temper":
                        raise
                    missing[name] = str(error)
    ways = {name: _summary(runs) for name, runs in rounds.items() if runs}
    own = ways["temper"]
    equal = len({way["digest"] for way in ways.values()}) == 1
    for way in ways.values():
        way["ratio"] = round(way["seconds"] / own["seconds"], 3)
    fastest = min((way["seconds"] for name, way in ways.items() if name != "temper"), default=None)
    ratio = None if missing or fastest is None else round(own["seconds"] / fastest, 3)
    detail = {
        "rows": SIZES[full],
        "rounds": ROUNDS[full],
        "limit_of_duckdb": LIMIT,
        "equal": equal,
        "ways": ways,
        "missing": missing,
    }
    ok = ratio is not None and ratio <= GOAL and equal
    return Result("cross_row", ratio, "x the fastest peer", GOAL, ok, detail)


def plant(folder: Path, count: int, seed: int = 0) -> None:
    """Write the keys of `count` rows into `folder`: `keys` as the stage does, `splits`, and both as `keys.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.clean.keys import DTYPE
    from tasks.dedup.memmap import blocks

    folder.mkdir()
    source = np.random.default_rng(seed)
    rows, repeats = np.arange(count), source.random(count) < 0.125
    family = np.where(repeats, (source.random(count) * rows).astype(np.int64), rows)
    answer = np.where(repeats & (source.random(count) < 0.25), rows + 1, 0).astype(np.uint64)
    keys = np.zeros(count, DTYPE)
    keys["request"] = source.integers(0, 2**64, count, dtype=np.uint64)[family]
    keys["content"] = keys["request"] ^ answer * np.uint64(0x9E3779B97F4A7C15)
    keys["id"] = source.integers(0, 2**64, count, dtype=np.uint64)
    same_id = source.random(count) < 0.001
    keys["id"][same_id] = keys["id"][source.integers(0, count, int(same_id.sum()))]
    keys["dialogue"], keys["left"] = source.random(count) < 0.95, source.random(count) < 0.01
    splits = source.choice(3, count, p=[0.9, 0.05, 0.05]).astype(np.int8)
    keys.tofile(folder / "keys")
    splits.tofile(folder / "splits")
    columns = {name: keys[name] for name in ("id", "content", "request", "dialogue", "left")}
    columns |= {"place": rows, "split": splits}
    schema = pa.schema([(name, pa.from_numpy_dtype(column.dtype)) for name, column in columns.items()])
    with pq.ParquetWriter(folder / "keys.parquet", schema, compression="none", use_dictionary=False) as file:
        for block in blocks(count):
            file.write_table(pa.table({name: column[block] for name, column in columns.items()}, schema))


def _child(python: Path, name: str, folder: Path) -> dict[str, Any]:
    from benchmarks.clean import watched  # imports what the peers' environment lacks

    return watched([str(python), "-m", "benchmarks.cross_row", name, str(folder)])


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return runs[0] | {
        "seconds": round(median(run["seconds"] for run in runs), 3),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "with_cache_mib": max(run["with_cache_mib"] for run in runs),
        "digest": " ".join(sorted({run["digest"] for run in runs})),
    }


def temper(folder: Path) -> Decisions:
    """The functions that the stage calls, in its order."""
    from tasks.clean import cross_row
    from tasks.clean.keys import load
    from tasks.dedup.memmap import open_array, zeros_like_rows

    keys, splits = load(folder / "keys"), open_array(folder / "splits", np.int8)
    reasons = zeros_like_rows(keys, np.uint8)
    cross_row.mark_duplicates(keys, splits, reasons)
    conflicting = cross_row.mark_conflicts(keys, splits, reasons, drop=False)
    return Decisions(reasons, conflicting, list(cross_row.repeated_ids(keys, reasons).items()))


def duckdb(folder: Path) -> Decisions:
    """SQL; what is repeated is aggregated first and joined back, for a window over all rows takes far more memory."""
    import duckdb

    base = duckdb.connect(config={"memory_limit": LIMIT, "threads": 2, "temp_directory": str(folder / "spilled")})
    base.execute(f"""
        SET preserve_insertion_order = false;
        CREATE VIEW alive AS SELECT * FROM '{folder / "keys.parquet"}' WHERE NOT "left";
        CREATE TABLE gone AS
            WITH across AS (
                SELECT request, max(split) AS top FROM alive GROUP BY request HAVING min(split) < max(split)
            ) SELECT place, {ACROSS} AS reason FROM alive JOIN across USING (request) WHERE split < top;
        CREATE VIEW unique_in_split AS SELECT * FROM alive ANTI JOIN gone USING (place);
        CREATE TABLE twice AS
            WITH repeated AS (
                SELECT content, min(place) AS first FROM unique_in_split GROUP BY content HAVING count(*) > 1
            ) SELECT place, {DUPLICATE} AS reason FROM unique_in_split JOIN repeated USING (content)
              WHERE place > first;
        INSERT INTO gone FROM twice;
        CREATE VIEW dialogues AS FROM unique_in_split WHERE dialogue;
    """)
    gone = base.execute("SELECT place, reason FROM gone").fetchnumpy()
    conflicts = base.execute("""
        SELECT place FROM dialogues SEMI JOIN (
            SELECT request, split FROM dialogues GROUP BY request, split HAVING min(content) < max(content)
        ) AS several USING (request, split)
    """).fetchnumpy()
    numbered = base.execute("""
        SELECT place, count FROM (
            SELECT place, row_number() OVER (PARTITION BY id ORDER BY place) AS count FROM unique_in_split
            SEMI JOIN (SELECT id FROM unique_in_split GROUP BY id HAVING count(*) > 1) AS several USING (id)
        ) WHERE count > 1
    """).fetchall()
    count = (folder / "splits").stat().st_size
    return _scattered(count, gone["place"], gone["reason"], conflicts["place"], numbered)


def polars(folder: Path) -> Decisions:
    """Lazy frames through the streaming engine; aggregated and joined back as in the SQL."""
    import polars as pl

    def places(frame: pl.LazyFrame) -> pl.DataFrame:
        return frame.select("place").collect(engine="streaming")

    alive = pl.scan_parquet(folder / "keys.parquet").filter(~pl.col("left"))
    low, top, rows = pl.col("split").min().alias("low"), pl.col("split").max().alias("top"), pl.len().alias("rows")
    several = alive.group_by("request").agg(low, top).filter(pl.col("low") < pl.col("top"))
    across = places(alive.join(several, on="request").filter(pl.col("split") < pl.col("top")))
    unique = alive.join(across.lazy(), on="place", how="anti")
    firsts = unique.group_by("content").agg(pl.col("place").min().alias("first"), rows).filter(pl.col("rows") > 1)
    twice = places(unique.join(firsts, on="content").filter(pl.col("place") > pl.col("first")))
    stays = unique.join(twice.lazy(), on="place", how="anti")
    dialogues = stays.filter(pl.col("dialogue"))
    answers = dialogues.group_by("request", "split").agg(
        pl.col("content").min().alias("one"), pl.col("content").max().alias("other")
    )
    differing = answers.filter(pl.col("one") < pl.col("other"))
    conflicts = places(dialogues.join(differing, on=["request", "split"], how="semi"))
    ids = stays.group_by("id").agg(rows).filter(pl.col("rows") > 1)
    again = stays.join(ids, on="id", how="semi").select("place", "id").collect(engine="streaming").sort("place")
    again = again.select("place", pl.int_range(1, pl.len() + 1).over("id").alias("count")).filter(pl.col("count") > 1)
    gone = pl.concat([across, twice])["place"].to_numpy()
    reasons = np.repeat([ACROSS, DUPLICATE], [len(across), len(twice)])
    count = (folder / "splits").stat().st_size
    return _scattered(count, gone, reasons, conflicts["place"].to_numpy(), again.rows())


def _scattered(count: int, gone: Any, reasons: Any, conflicts: Any, numbered: list[tuple[int, int]]) -> Decisions:
    """Decisions about some places as decisions about all `count` rows."""
    decisions = Decisions(np.zeros(count, np.uint8), np.zeros(count, np.bool_), numbered)
    decisions.reasons[gone] = reasons
    decisions.conflicting[conflicts] = True
    return decisions


WAYS: dict[str, Callable[[Path], Decisions]] = {way.__name__: way for way in (temper, duckdb, polars)}


def lines(name: str) -> int:
    """Lines of code of a way; of temper, those of the functions that it calls."""
    if name != "temper":
        return len(inspect.getsource(WAYS[name]).splitlines()) + len(inspect.getsource(_scattered).splitlines())
    from tasks.clean import cross_row, keys

    own = (
        keys.Groups,
        keys.equal_groups,
        cross_row.remaining,
        cross_row.mark_duplicates,
        cross_row.mark_conflicts,
        cross_row.repeated_ids,
    )
    return sum(len(inspect.getsource(function).splitlines()) for function in own)


def main(name: str, folder: Path) -> None:
    """In the child: decide one way, and print seconds, memory with cached pages, lines of code and the decisions."""
    WAYS[name](folder / "few")  # imports are not counted
    start = time.perf_counter()
    decisions = WAYS[name](folder / "keys")
    seconds = time.perf_counter() - start
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    run = {"seconds": seconds, "with_cache_mib": round(peak), "lines": lines(name), "digest": decisions.digest()}
    print(json.dumps(run | decisions.counts()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
