"""`dedup`: near-duplicates among short documents, against other libraries, each in a process of its own.

Texts are drawn by a seed: 20 to 60 words of a vocabulary of 50,000, the frequency of each falling with its rank as in
a language. A fifth of them get 1 to 4 copies, in which a share of 0 to 20 % of the words is exchanged, and all are
shuffled. What is a near-duplicate is computed exactly, for every pair of a family, and each family is cut into what
such pairs connect: of a cluster of n texts, n - 1 should leave. Recall is how many of these a library finds, precision
how many that it finds are of these; which text of a cluster it keeps does not matter. Unrelated texts of this length
never come near a similarity of 0.8.

The others are looked for in the environment whose folder is in TEMPER_PEERS; they get the texts as a list in memory,
words by `split()`, and every processor. Documents a second of processors are little disturbed by what else runs.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import accumulate, combinations, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.result import Result

GOAL = 0.25
"""Seconds for each second of datatrove: four times its documents a second."""

RECALL, PRECISION = 0.95, 0.99

THRESHOLD = 0.8

SIZES = {False: 20_000, True: 500_000}
ROUNDS = {False: 3, True: 1}

HERE = Path(__file__).resolve().parent.parent


def measure(full: bool) -> Result:
    """Every library on the same texts, one after the other."""
    peers = Path(os.environ.get("TEMPER_PEERS", "")) / "bin/python"
    with TemporaryDirectory(prefix="temper-dedup-") as folder:
        texts, families = planted(SIZES[full])
        (Path(folder) / "texts").write_text("\n".join(texts))
        groups = connected(texts, families)
        del texts
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in LIBRARIES}
        missing: dict[str, str] = {}
        for _ in range(ROUNDS[full]):
            for name in LIBRARIES:
                if name in missing:
                    continue
                python = Path(sys.executable) if name == "temper" else peers
                try:
                    libraries = _child(python, name, Path(folder))
                    rounds[name].append({**libraries, **quality(libraries.pop("leaving"), groups)})
                except (OSError, subprocess.CalledProcessError) as error:
                    if name == "temper":
                        raise
                    missing[name] = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
    libraries = {name: _summary(runs, SIZES[full]) for name, runs in rounds.items() if runs}
    ours, datatrove = libraries["temper"], libraries.get("datatrove")
    ratio = round(datatrove["docs_a_second"] / ours["docs_a_second"], 3) if datatrove else None
    able = [peer["docs_a_second"] for name, peer in libraries.items() if name != "temper" and peer["recall"] >= RECALL]
    ok = (
        ratio is not None
        and ratio <= GOAL
        and ours["recall"] >= RECALL
        and ours["precision"] >= PRECISION
        and ours["docs_a_second"] > max(able, default=0)
    )
    detail = {
        "documents": SIZES[full],
        "rounds": ROUNDS[full],
        "leaving": sum(size - 1 for size in Counter(groups).values()),
        "recall_goal": RECALL,
        "precision_goal": PRECISION,
        "libraries": libraries,
        "missing": missing,
    }
    return Result("dedup", ratio, "x datatrove's time", GOAL, ok, detail)


def planted(count: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts, and the family of each."""
    source = random.Random(seed)
    syllables = [first + vowel for first in "bdfghklmnprstvz" for vowel in "aeiou"]
    vocabulary = sorted({"".join(source.choices(syllables, k=source.randint(2, 4))) for _ in range(60_000)})[:50_000]
    source.shuffle(vocabulary)
    often = list(accumulate(1 / (rank + 10) for rank in range(len(vocabulary))))

    def word() -> str:
        return vocabulary[bisect(often, source.random() * often[-1], hi=len(often) - 1)]

    planted_texts: list[tuple[str, int]] = []
    for family in range(count):
        original = [word() for _ in range(source.randint(20, 60))]
        planted_texts.append((" ".join(original), family))
        for _ in range(source.randint(1, 4) if source.random() < 0.2 else 0):
            copy = list(original)
            for place in source.sample(range(len(copy)), source.randint(0, len(copy) // 5)):
                copy[place] = word()
            planted_texts.append((" ".join(copy), family))
        if len(planted_texts) >= count:
            break
    del planted_texts[count:]
    source.shuffle(planted_texts)
    return [text for text, _ in planted_texts], [family for _, family in planted_texts]


def connected(texts: list[str], families: list[int]) -> list[int]:
    """For each text the first text of what pairs of `THRESHOLD` or more connect it to; by comparing every pair."""
    from tasks.dedup.similarity import jaccard, words

    members: defaultdict[int, list[int]] = defaultdict(list)
    for place, family in enumerate(families):
        members[family].append(place)
    group = list(range(len(texts)))
    for family_members in members.values():
        bags = {place: frozenset(words(texts[place])) for place in family_members}
        for one, two in combinations(family_members, 2):
            if jaccard(bags[one], bags[two]) >= THRESHOLD:
                low, high = sorted((group[one], group[two]))
                for place in family_members:
                    group[place] = low if group[place] == high else group[place]
    return group


def quality(leaving: list[int], groups: list[int]) -> dict[str, float]:
    """Recall and precision of the texts that a library would take out."""
    due = {group: size - 1 for group, size in Counter(groups).items()}
    taken = Counter(groups[place] for place in leaving)
    right = sum(min(number, due[group]) for group, number in taken.items())
    return {"recall": right / sum(due.values()), "precision": right / max(1, len(leaving))}


def _child(python: Path, name: str, folder: Path) -> dict[str, Any]:
    out = folder / f"{name}.json"
    subprocess.run(
        [python, "-m", "benchmarks.dedup", name, str(folder / "texts"), str(out)],
        cwd=HERE,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(out.read_text())
    return measured


def _summary(runs: list[dict[str, Any]], count: int) -> dict[str, Any]:
    return {
        "docs_a_second": round(count / median(run["seconds"] for run in runs)),
        "docs_a_processor_second": round(count / median(run["computed"] for run in runs)),
        "recall": round(median(run["recall"] for run in runs), 4),
        "precision": round(median(run["precision"] for run in runs), 4),
        "peak_mib": round(max(run["peak_mib"] for run in runs)),
        "version": runs[0]["version"],
    }


def temper(path: Path) -> Iterator[int]:
    """Texts by batches from the file, as the stage reads them."""
    from tasks.dedup.near import clusters

    with path.open() as lines:
        batches = iter(lambda: list(islice(lines, 1000)), [])
        first = clusters(batches, THRESHOLD, scratch=path.parent)
    return (place for place, one in enumerate(first.tolist()) if one != place)


def datatrove(path: Path) -> Iterator[int]:
    """Its stages 1 to 3 with one task a processor; 14 bands of 8 as it comes, single words instead of runs of 5."""
    import multiprocessing
    import struct

    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash as stages
    from datatrove.utils import word_tokenizers

    class Words(word_tokenizers.WhitespaceTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    stages.load_word_tokenizer = lambda language: Words()
    texts = path.read_text().splitlines()
    config = stages.MinhashConfig(n_grams=1)
    folder, workers = path.parent / "datatrove", len(os.sched_getaffinity(0))

    def sign(rank: int) -> None:
        own = (Document(text=text, id="") for text in texts[rank::workers])
        stages.MinhashDedupSignature(str(folder / "signatures"), config).run(own, rank, workers)

    def match(rank: int) -> None:
        for bucket in range(rank, config.num_buckets, workers):
            step = stages.MinhashDedupBuckets(str(folder / "signatures"), str(folder / "pairs"), config=config)
            step.run(None, bucket, config.num_buckets)

    fork = multiprocessing.get_context("fork")
    for work in (sign, match):
        processes = [fork.Process(target=work, args=(rank,)) for rank in range(workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"datatrove's {work.__name__} failed")
    stages.MinhashDedupCluster(str(folder / "pairs"), str(folder / "leaving"), config=config).run()
    for rank in range(workers):
        gone = folder / "leaving" / f"{rank:06d}.remove"
        for (place,) in struct.iter_unpack("<I", gone.read_bytes() if gone.exists() else b""):
            yield rank + workers * place


def rensa(path: Path) -> Iterator[int]:
    """R-MinHash of all words, its deduplicator with LSH and its own check of signatures."""
    from rensa import RMinHashDeduplicator

    texts = path.read_text().splitlines()
    sieve = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True, num_bands=16)
    kept = sieve.add_pairs((str(place), text.split()) for place, text in enumerate(texts))
    return (place for place, keep in enumerate(kept) if not keep)


def gaoya(path: Path) -> Iterator[int]:
    """Its index of strings, filled and asked in bulk."""
    from gaoya.minhash import MinHashStringIndex

    texts = path.read_text().splitlines()
    index = MinHashStringIndex(32, THRESHOLD, 25, 5, None, "word", False, (1, 1), "vec")
    index.par_bulk_insert_docs(list(range(len(texts))), texts)
    return (place for place, like in enumerate(index.par_bulk_query(texts)) if min(like, default=place) < place)


def fastsketch(path: Path) -> Iterator[int]:
    """Its sketches of word sets, 16 bands of 8, those that meet an earlier one in a band."""
    import numpy as np
    from FastSketchLSH import LSH, FastSimilaritySketch

    bags = [list(set(text.split())) for text in path.read_text().splitlines()]
    sketches = FastSimilaritySketch(size=128, seed=42).batch(bags)
    index = LSH(num_perm=128, num_bands=16)
    index.insert(sketches)
    flat, begins = index.query(sketches, format="csr")
    return (
        place
        for place, first in enumerate(np.minimum.reduceat(flat, begins[:-1].astype(int)).tolist())
        if first < place
    )


def datasketch(path: Path) -> Iterator[int]:
    """MinHash of 128 functions, one text after the other asked for and put in."""
    from datasketch import MinHash, MinHashLSH

    texts = path.read_text().splitlines()
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    for place, minhash in enumerate(MinHash.generator([[w.encode() for w in set(text.split())] for text in texts])):
        if index.query(minhash):
            yield place
        index.insert(place, minhash, check_duplication=False)


LIBRARIES: dict[str, Callable[[Path], Iterator[int]]] = {
    work.__name__: work for work in (temper, datatrove, rensa, gaoya, fastsketch, datasketch)
}


def main(name: str, texts: Path, out: Path) -> None:
    """In the child: run one library, and write seconds, peak memory and which texts would leave."""
    from importlib.metadata import PackageNotFoundError, version

    with TemporaryDirectory(prefix="temper-few-") as folder, texts.open() as lines:
        few = Path(folder) / "texts"
        few.write_text("".join(islice(lines, 100)))
        list(LIBRARIES[name](few))  # imports are not counted
    before, start = _computed(), time.perf_counter()
    leaving = list(LIBRARIES[name](texts))
    seconds, computed = time.perf_counter() - start, _computed() - before
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    try:
        known = version({"fastsketch": "fastsketchlsh"}.get(name, name))
    except PackageNotFoundError:
        known = ""
    peak = int(status["VmHWM"].split()[0]) / 1024
    seen = {"seconds": seconds, "computed": computed, "peak_mib": peak, "version": known, "leaving": leaving}
    out.write_text(json.dumps(seen))


def _computed() -> float:
    """Seconds that all processors have spent on this process and those that it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
