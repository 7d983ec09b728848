"""Each recipe in its real distilabel pipeline, with a good teacher: rows, provenance, ledger, replay."""

from pathlib import Path
from typing import Any

import pytest

from tasks.clean.shapes import to_content
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.generate.settings import Settings
from tasks.generate.stage import LISTS, run, validate
from tests.tasks.generating import ledger, lines, outputs, project, settings
from tests.tasks.good_teacher import good
from tests.tasks.teacher_server import Asked, Reply, teacher_server

WANTED: dict[str, tuple[dict[str, Any], int, dict[str, int], int]] = {
    "instructions": ({"instructions": {"each": 3}}, 6, {}, 2 + 6 + 6),
    "documents": ({"documents": {"questions": 3}}, 3, {"unsupported": 3, "missing": 3}, 3),
    "dialogues": ({"rows": 4}, 4, {}, 2 * (2 * 4) + 2 * (2 * 2) - 2),  # a tool is not asked twice for the same
    "preferences": (
        {"preferences": {"margin": 0.5}},
        4,
        {},
        4 * 3 + 4 * 2 - 1,
    ),  # three answers that read the same reversed
    "magpie": ({}, 6, {}, 6 + 6),
}
"""Recipe -> more settings, rows kept, rows that leave by reason, requests."""


CHECKED_BESIDE = {"instructions", "documents", "magpie"}
"""Recipes whose rows are checked where a kill, a change or a budget is tried."""


@pytest.mark.parametrize("recipe", sorted(WANTED.keys() - CHECKED_BESIDE))
def test_a_recipe_makes_its_rows(recipe: str, tmp_path: Path) -> None:
    make(recipe, project(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("recipe", WANTED)
def test_a_recipe_makes_its_rows_again_without_a_server(recipe: str, tmp_path: Path) -> None:
    paths = project(tmp_path)
    chosen = make(recipe, paths)
    before = outputs(paths)
    run(chosen, paths)  # nobody listens any more
    assert outputs(paths) == before


def make(recipe: str, paths: Paths) -> Settings:
    """Run the stage with a good teacher, and check what came of it."""
    more, kept, left, asked = WANTED[recipe]
    with teacher_server(good) as server:
        chosen = settings(recipe, server.base_url, **more)
        run(chosen, paths)
        assert len(server.asked) == asked
    assert len({line["key"] for line in lines(paths.responses)}) == asked
    check(recipe, paths, kept, left, asked)
    return chosen


def check(recipe: str, paths: Paths, kept: int, left: dict[str, int], asked: int) -> None:
    """`kept` rows came of `asked` requests to a good teacher, those in `left` left, and the files say so."""
    counts = ledger(paths)
    assert (counts["out"], counts["left"]) == ({"train": kept}, left)
    assert (counts["requests"], counts["input_tokens"], counts["output_tokens"]) == (asked, 7 * asked, 5 * asked)
    recorded = {line["key"] for line in lines(paths.responses)}
    for row in lines(paths.generated / "rows.jsonl"):
        assert to_content(row).turns()  # `clean` takes it
        assert row["provenance"]["recipe"] == recipe
        assert row["provenance"]["teacher"] == "openai:good"
        assert row["provenance"]["sampling"]["temperature"] == 0.7
        assert row["provenance"]["prompts"]
        assert recorded >= set(row["provenance"]["prompts"])
    CHECKS[recipe](lines(paths.generated / "rows.jsonl"))


def _instructions(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        user, assistant = row["messages"]
        assert user["content"].endswith("and name one thing that can go wrong")
        assert user["content"].startswith("Explain how to")
        assert assistant["content"].startswith("This is the answer to")
        assert len(row["provenance"]["prompts"]) == 3


def _documents(rows: list[dict[str, Any]]) -> None:
    assert [row["document"] for row in rows] == ["a.md", "b.md", "c.md"]
    source = rows[0]["provenance"]["source"]
    assert source["quote"] == rows[0]["messages"][1]["content"] == "# The image An image a"
    assert (source["document"], source["chunk"], source["headings"]) == ("a.md", 0, ["The image"])
    assert source["lines"] == [1, 7]


def _dialogues(rows: list[dict[str, Any]]) -> None:
    tools, plain = rows[0], rows[1]
    roles = [turn["role"] for turn in tools["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant"] * 2
    assert [turn["tool_calls"][0]["id"] for turn in tools["messages"] if "tool_calls" in turn] == ["call_0", "call_1"]
    assert tools["messages"][2] == {
        "role": "tool", "tool_call_id": "call_0", "name": "state", "content": '{"state": "running"}'
    }  # fmt: skip
    assert tools["tools"][0]["function"]["name"] == "state"
    assert [turn["role"] for turn in plain["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert "tools" not in plain
    assert rows[0]["messages"] != rows[2]["messages"]  # the same scenario again is another conversation


def _preferences(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        marks = [int(row[name][0]["content"].split()[-2]) for name in ("chosen", "rejected")]
        assert marks[0] - marks[1] == row["margin"] > 0
        assert row["provenance"]["ratings"] == row["provenance"]["ratings_reversed"]


def _magpie(rows: list[dict[str, Any]]) -> None:
    assert len({row["messages"][0]["content"] for row in rows}) == len(rows)


CHECKS = {
    "instructions": _instructions, "documents": _documents, "dialogues": _dialogues, "preferences": _preferences,
    "magpie": _magpie,
}  # fmt: skip


def test_answers_of_no_use_leave_each_for_its_reason(tmp_path: Path) -> None:
    """One fault for each sample of one prompt; the ledger has them all, and the rows are in the file beside."""
    faults: dict[int, Reply | str | int] = {
        0: Reply("It goes on and on", "length"),
        1: Reply("short, they say", tokens=(7, 128)),
        2: "I'm sorry, but I can't help with that.",
        3: Reply("", "content_filter"),
        4: "",
        5: Reply(status=400, body=b'{"error": {"message": "too long"}}'),
    }

    def script(asked: Asked) -> Reply | str | int:
        if "prompt" in asked.body:
            return f"Tell me about thing number {asked.body['seed'] - 5}, will you"
        number = int(asked.text.split("number ")[1].split(",")[0])
        return faults.get(number, asked.text if number == 6 else good(asked))

    paths = project(tmp_path)
    with teacher_server(script) as server:
        chosen = settings("magpie", server.base_url, rows=9, near_duplicate=0.7)
        run(chosen, paths)
    assert ledger(paths)["left"] == {
        "truncated": 2, "refusal": 2, "no_answer": 2, "echo": 1, "near_duplicate": 1
    }  # fmt: skip
    left = {row["reason"]: row for row in lines(paths.generated / "left_out.jsonl")}
    assert left["near_duplicate"]["messages"][0]["content"] == "Tell me about thing number 8, will you"
    before = outputs(paths)
    run(chosen, paths)  # also what failed for good is on record
    assert outputs(paths) == before
    with teacher_server(good) as server:
        again = settings("magpie", server.base_url, rows=9, near_duplicate=0.7, ask_again=True)
        run(again, paths)
        assert len(server.asked) == 1
    assert ledger(paths)["left"]["no_answer"] == 1


def test_preferences_leave_where_the_judge_cannot_tell(tmp_path: Path) -> None:
    judged = {
        "List all images": lambda shown: [5, 1],  # whatever comes first
        "Stop a container": lambda shown: [3, 3],
        "Say what a volume is": lambda shown: [4],
        "Copy a file": lambda shown: [4, 2] if shown[0] == "A" else [2, 4],
    }

    def script(asked: Asked) -> str:
        if "## Annotation" not in asked.text:
            return "A" if asked.body["seed"] == 5 else "B"
        task, _, texts = asked.text.rpartition("Texts:")
        shown = [line.split("> ")[1] for line in texts.splitlines() if line.startswith("<text")]
        rated = judged[task.rpartition("Instruction: ")[2].strip()](shown)
        return "\n\n".join(
            f"#### Output for Text {n}\nRating: {rating}\nRationale: r" for n, rating in enumerate(rated, 1)
        )

    paths = project(tmp_path)
    with teacher_server(script) as server:
        run(settings("preferences", server.base_url, preferences={"answers": 2}), paths)
    (row,) = lines(paths.generated / "rows.jsonl")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"], row["margin"]) == ("A", "B", 2.0)
    assert ledger(paths)["left"] == {"position_flip": 1, "tie": 1, "format": 1}


def test_calls_of_tools_that_do_not_fit_leave(tmp_path: Path) -> None:
    wrong = ['{"name": 7}', "{", "{}", '{"name": "web1"}']

    def script(asked: Asked) -> Reply:
        if asked.body.get("tools"):
            name = "state" if asked.body["seed"] < 8 else "stat"
            call = {"name": name, "arguments": wrong[asked.body["seed"] - 5]}
            return Reply(None, tool_calls=[{"id": "x", "type": "function", "function": call}])
        return good(asked)

    paths = project(tmp_path)
    (paths.data / "scenarios/scenarios.jsonl").write_text(
        (paths.data / "scenarios/scenarios.jsonl").read_text().splitlines()[0]
    )
    with teacher_server(script) as server:
        run(settings("dialogues", server.base_url, rows=4), paths)
    assert ledger(paths)["left"] == {"tool_call": 4}


TOOLS = "scenarios/tools.yaml"


@pytest.mark.parametrize(
    ("recipe", "file", "text", "message"),
    [
        ("instructions", "tasks/tasks.yaml", "", r"tasks\.yaml: expected a list of entries, found NoneType"),
        ("instructions", "tasks/tasks.yaml", "[]", r"data/tasks: no instruction in it"),
        ("instructions", "tasks/tasks.yaml", "- [a]", r"tasks\.yaml, entry 1: expected a text, or 'instruction'"),
        ("instructions", "tasks/tasks.yaml", "- {", r"tasks\.yaml: not valid YAML"),
        ("dialogues", "scenarios/scenarios.jsonl", '{"scenario": "a"}\n{', r"scenarios\.jsonl, line 2: not valid JSON"),
        ("dialogues", "scenarios/scenarios.jsonl", '{"scenario": "a", "tools": [{"name": "f"}]}', "in OpenAI's form"),
        ("dialogues", "scenarios/scenarios.jsonl",
         '{"scenario": "a", "tools": [{"function": {"name": "f", "parameters": {"type": "int"}}}]}', "OpenAI's form"),
        ("dialogues", TOOLS, "- {scenario: a, tools: [1]}", "'1' has no key function"),
        ("dialogues", TOOLS, "- {scenario: a, tools: [f]}", "'f' has no key function"),
        ("dialogues", TOOLS, "- {scenario: a, tools: 5}", "'5' has no key function"),
        ("dialogues", TOOLS, "- {scenario: a, tools: [{function: {name: 1}}]}", "its name is 1, but must be a"),
        ("dialogues", TOOLS, "- {scenario: a, tools: [{function: {name: f, parameters: [1]}}]}", "not a JSON Schema"),
        ("dialogues", TOOLS, "- {scenario: a, tools: [{function: {name: f}}, {function: {name: f}}]}", "two"),
        ("documents", "documents/a.md", b"\xff\x00\xfa", r"a\.md: not UTF-8 at byte 0"),
        ("documents", "documents/a.pdf", b"%PDF-1.4 no", r"a\.pdf: not a PDF that can be read"),
        ("documents", "documents/a.docx", b"PK no", r"a\.docx: not a Word document \(\.docx\) that can be read"),
    ],
)  # fmt: skip
def test_input_that_cannot_be_used_is_named(
    recipe: str, file: str, text: str | bytes, message: str, tmp_path: Path
) -> None:
    paths = project(tmp_path)
    (paths.data / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        run(settings(recipe, "http://127.0.0.1:9/v1"), paths)
    assert not paths.generated.exists()
    if recipe in LISTS:
        with pytest.raises(InputError, match=message):
            validate(settings(recipe, "http://127.0.0.1:9/v1"), paths)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recipe": "documents"}, "'documents' needs a teacher"),
        ({"teacher": {"kind": "openai", "base_url": "http://h/v1"}}, r"needs model"),
        ({"teacher": {"kind": "openai", "model": "m"}}, r"needs base_url"),
        ({"teacher": {"kind": "openai", "model": "m", "base_url": "h:80"}}, "must start with http"),
        ({"teacher": {"kind": "openai", "model": "m", "base_url": "http://u:p@h/v1"}}, "contains a password"),
        ({"teacher": {"kind": "local"}}, r"needs model"),
        ({"teacher": {"extra": {"n": 2}}}, "n cannot be set here"),
        ({"recipe": "preferences", "teacher": {"kind": "huggingface", "model": "m"}}, "needs answers that differ"),
        ({"recipe": "magpie", "teacher": {"kind": "huggingface", "model": "m", "temperature": 1}}, "magpie.opening"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate(values)
