"""Names in settings stay in their folders, whatever form they have; each setting that becomes a path is tried."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, SettingsError, TemperError
from tasks.core.paths import Paths
from tasks.named.names import inside

OUTSIDE = [
    "..", "../x", "a/../../x", "./../x", "/etc/passwd", "//etc/passwd", "a/../b", "..\\x",
    "C:\\x", "C:x", "\\\\host\\x",
    "\\x", "", " ", "x\0y", ".", "./",
]  # fmt: skip
INSIDE = ["x", "x.py", "a/b", "./x", "with space", "..x", "x..y", "...", "ünï🦆", "-x", "~", "$(x)"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"^the\.key = "):
        inside(tmp_path / "room", name, "the.key")


@pytest.mark.parametrize("name", INSIDE)
def test_a_name_that_stays(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path / "room", name, "the.key") == tmp_path / "room" / name


def test_links(tmp_path: Path) -> None:
    room, other = tmp_path / "room", tmp_path / "room-2"
    (room / "deep").mkdir(parents=True)
    other.mkdir()
    (other / "x.py").touch()
    for name, target in {
        "out": str(other / "x.py"),
        "up": "..",
        "self": ".",
        "loop": "loop",
        "nowhere": "/nowhere",
    }.items():
        (room / name).symlink_to(target)
    (room / "deep/up").symlink_to("../..")
    (room / "fine").symlink_to("deep")
    for name in ("out", "up/room-2/x.py", "self", "nowhere", "nowhere/x", "deep/up/room-2"):
        with pytest.raises(SettingsError, match="outside"):
            inside(room, name, "the.key")
    assert inside(room, "fine/x.py", "the.key") == room / "fine/x.py"
    (tmp_path / "linked").symlink_to(room)  # the room itself may be a link
    assert inside(tmp_path / "linked", "x.py", "the.key")


def reward(kind: str) -> Callable[[Paths, str], Any]:
    def look(paths: Paths, name: str) -> Any:
        from tasks.align.rewards import check_rewards
        from tasks.align.settings import Settings

        end = ":f" if kind == "function" else ""
        check_rewards(Settings.model_validate({"rewards": [{"kind": kind, "name": f"{name}{end}"}]}), paths)

    return look


def teacher(paths: Paths, name: str) -> Any:
    from tasks.align import guides

    guides.model(paths, name, "align.teacher")


def metric(**values: str) -> Callable[[Paths, str], Any]:
    def look(paths: Paths, name: str) -> Any:
        from tasks.evaluate import stage

        metrics = [{"kind": "function" if "function" in values else "json_schema"}]
        metrics[0].update({key: value.replace("NAME", name) for key, value in values.items()})
        stage.validate(stage.Settings.model_validate({"metrics": metrics}), paths)

    return look


def model(paths: Paths, name: str) -> Any:
    from tasks.evaluate import candidates, stage

    settings = stage.Settings.model_validate({"models": {"other": name}})
    with pytest.raises(SettingsError):
        candidates.folders("other", settings, paths)
    stage.validate(settings, paths)


def documents(paths: Paths, name: str) -> Any:
    from tasks.evaluate import stage

    stage.validate(stage.Settings.model_validate({"documents": {"manuals": name}}), paths)


def adapter(paths: Paths, name: str) -> Any:
    from tasks.merge.combine import Combine, other_adapters

    other_adapters(Combine(weights={"trained": 1.0, name: 1.0}), paths.adapters)


def template(paths: Paths, name: str) -> Any:
    from tasks.template.tokenizer import check_tracked, template_text

    check_tracked(name, paths.templates)
    template_text(name)


def judged(paths: Paths, name: str) -> Any:
    from tasks.judge.settings import Settings

    teacher = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    for values in ({"candidates": [name]}, {"against": name}):
        with pytest.raises(ValidationError):
            Settings.model_validate({"teacher": teacher, **values})
    raise SettingsError("refused")


def candidate(section: str, key: str, form: Callable[[str], Any] = lambda name: name) -> Callable[[Paths, str], Any]:
    def look(paths: Paths, name: str) -> Any:
        from flows.params.model import model

        settings = model().model_fields[section].annotation
        with pytest.raises(ValidationError):
            settings.model_validate({key: form(name)})  # type: ignore[union-attr]
        raise SettingsError("refused")

    return look


SETTINGS: dict[str, Callable[[Paths, str], Any]] = {
    "align.rewards function": reward("function"),
    "align.rewards model": reward("model"),
    "align.teacher": teacher,
    "evaluate.metrics function": metric(function="NAME:f"),
    "evaluate.metrics schema_file": metric(schema_file="NAME"),
    "evaluate.models": model,
    "evaluate.benchmarked": candidate("evaluate", "benchmarked", lambda name: [name]),
    "evaluate.models name": candidate("evaluate", "models", lambda name: {name: "data/x"}),
    "evaluate.hosted name": candidate("evaluate", "hosted", lambda name: {name: {"hub": f"a/b@{'0' * 40}"}}),
    "evaluate.documents": documents,
    "evaluate.documents name": candidate("evaluate", "documents", lambda name: {name: "data/x"}),
    "evaluate.prompts name": candidate("evaluate", "prompts", lambda name: {name: ["Answer."]}),
    "merge.combine": adapter,
    "template.chat_template": template,
    "judge": judged,
    "quantize.schemes": candidate("quantize", "schemes", lambda name: [name]),
    "export.formats": candidate("export", "formats", lambda name: [name]),
    "decide.candidate": candidate("decide", "candidate"),
    "base.hub": candidate("base", "hub", lambda name: f"{name}@{'0' * 40}"),
}


LINK = {"link.py"}

FINE = {
    "evaluate.models": {"a;touch b", "$(touch b)", "a b"} | LINK,  # a folder of the project, which no shell sees
    **dict.fromkeys(
        (
            "evaluate.benchmarked",
            "evaluate.models name",
            "evaluate.hosted name",
            "evaluate.documents name",
            "evaluate.prompts name",
            "judge",
            "decide.candidate",
            "base.hub",
        ),
        LINK,
    ),
}
"""What is no path there, or a fine name."""


@pytest.mark.parametrize("key", SETTINGS)
def test_settings_that_become_paths(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, models and links that are there, outside the folder; and names that a shell would carry out."""
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    for room in ("guides", "scoring", "adapters", "templates"):
        (project / "data" / room).mkdir()
        (project / "data" / room / "link.py").symlink_to(tmp_path / "evil.py")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\ndef f(*a): return 1\n")
    for name in ("config.json", "adapter_config.json", "evil.jinja", "evil.json"):
        (tmp_path / name).write_text(json.dumps({}))
    monkeypatch.chdir(project)
    names = [
        "../../../evil.py",
        f"{tmp_path}/evil.py",
        "../../../evil.json",
        "../../..",
        "../../../evil.jinja",
        "a;touch b",
    ]
    for name in [*names, "../evil", "$(touch b)", "a b", "link.py", "../../../../evil", f"{tmp_path}/evil"]:
        if name in FINE.get(key, set()):
            continue
        with pytest.raises((TemperError, ValidationError)) as raised:
            SETTINGS[key](Paths(), name)
        assert isinstance(raised.value, (SettingsError, InputError, ValidationError))
    assert not (tmp_path / "trace").exists()
    assert not (project / "b").exists()


def test_a_task_of_lm_eval_is_found_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.benchmarks import manager

    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "trace"
    (tmp_path / "scoring").mkdir()
    for folder in (tmp_path, tmp_path / "scoring"):
        (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\ndef f(*a): return 1\n")
        (folder / "evil.yaml").write_text("task: evil\ndataset_path: json\ndoc_to_text: !function evil.f\n")
    manager("evil", tmp_path / "scoring", "evaluate.benchmarks")  # as `temper check` asks: nothing runs
    assert not trace.exists()


@pytest.mark.long  # lm-eval reads all of its own tasks
def test_a_task_of_lm_eval_is_no_path(tmp_path: Path) -> None:
    from tasks.benchmarks import manager

    (tmp_path / "evil.yaml").write_text("task: evil\ndataset_path: json\n")
    (tmp_path / "scoring").mkdir()
    for name in ("../evil.yaml", str(tmp_path / "evil.yaml")):
        with pytest.raises(SettingsError, match="unknown task"):
            manager(name, tmp_path / "scoring", "evaluate.benchmarks")
