"""What the model is told of tools, and what is refused of a user's files: all of it without a line of those running."""

from pathlib import Path
from typing import Any

import pytest

from tasks.align.episodes import definitions
from tasks.align.episodes.settings import Episodes
from tasks.align.episodes.start import check_template
from tasks.align.settings import Settings
from tasks.core.errors import InputError, ModelError, SettingsError
from tests.tasks import tiny
from tests.tasks.align.episodes.test_play import TEMPLATE, coder, place

HARM = "raise SystemExit('this file was run')\n"

TOOL = '''
def run(command: str, times: "int | None" = None, *, kinds: list[str] = [], how: Literal["a", "b"] = print("x")) -> Any:
    """Runs a command.

    Args:
        command: What is run.
        times: How often.
        kinds: Of what.
        how: In which way.
    """
'''


def test_a_tool_is_described_by_its_types_and_its_docstring(tmp_path: Path) -> None:
    paths = place(tmp_path, HARM + TOOL)
    (tool,) = definitions.tools(Episodes(tools=("docker.py:run",)), paths)
    assert tool == {
        "type": "function",
        "function": {
            "name": "run",
            "description": "Runs a command.",
            "parameters": {
                "type": "object",
                "properties": {
                    "command": {"type": "string", "description": "What is run."},
                    "times": {"type": "integer", "nullable": True, "description": "How often."},
                    "kinds": {"type": "array", "items": {"type": "string"}, "description": "Of what."},
                    "how": {"type": "string", "enum": ["a", "b"], "description": "In which way."},
                },
                "required": ["command"],
            },
        },
    }


DOC = '"""Does.\n\n    Args:\n        a: What.\n    """'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "it does not define run; define it"),
        ("run = print", "no function run is defined in this file"),
        ("from os import system as run", "no function run is defined in this file"),
        (f"async def run(a: str):\n    {DOC}", r"docker\.py:2: .*: run is async; write a synchronous function"),
        (f"@cache\ndef run(a: str):\n    {DOC}", "run is decorated"),
        ("def run(a: str): ...", "run has no docstring"),
        (f"def run(a):\n    {DOC}", "a has no type annotation; add one, such as a: str"),
        (f"def run(a: Path):\n    {DOC}", "Path is not a type that a tool's description can express; use str, int"),
        (
            f"def run(a: (print('harm'), str)[1]):\n    {DOC}",
            "is not a type that a tool's description can express; use",
        ),
        (f"def run(a: str.__class__):\n    {DOC}", "is not a type that a tool's description can express; use"),
        (f"def run(a: 'str and'):\n    {DOC}", "'str and' is not a type"),
        (f"def run(a: list[1]):\n    {DOC}", "describe each argument on its own line below Args:."),
        (
            "def run(a: str):\n    '''Does.'''",
            "no description for the argument 'a'; describe each argument on its own line below Args:.",
        ),
        ("def run():\n    '''Args:\n        a: What.\n    '''", "does not say what it does"),
        (f"def run(*a: str):\n    {DOC}", "name each parameter instead of using"),
        (f"def run(**a: str):\n    {DOC}", "name each parameter instead of using"),
        ("def run(", "not valid Python"),
    ],
)
def test_tools_that_a_model_cannot_be_told_of(tmp_path: Path, text: str, message: str) -> None:
    paths = place(tmp_path, HARM + text)
    with pytest.raises(InputError, match=message):
        definitions.check(Episodes(tools=("docker.py:run",)), paths, rewards=False)


RESET, STEP = "    def reset(self): ...\n", "    def step(self, answer): ...\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def One(): ...", "no class One is defined"),
        (f"class One:\n{STEP}", "has no method reset"),
        (f"class One:\n{RESET}", "has neither step nor a method that is a tool"),
        (f"class One:\n{RESET}    def _step(self): ...\n", "has neither step nor a method that is a tool"),
        (f"class One(gym.Env):\n{RESET}{STEP}", r"inherits from gym\.Env, which this file"),
        (f"class One(One):\n{RESET}{STEP}", "inherits from One, which this file"),
        (
            f"class One:\n    def reset(self, goal): ...\n{STEP}",
            "is called with prompt and reference as keyword arguments",
        ),
        (
            f"class One:\n    def reset(self, prompt, /): ...\n{STEP}",
            "is called with prompt and reference as keyword arguments",
        ),
        (f"class One:\n    async def reset(self): ...\n{STEP}", "reset is async; write a synchronous method"),
        (f"class One:\n{RESET}    async def step(self, answer): ...\n", "step is async"),
        (f"class One:\n{RESET}    def step(self): ...\n", "is called with the model's answer as its only argument"),
        (
            f"class One:\n{RESET}    def step(self, a, b): ...\n",
            "is called with the model's answer as its only argument",
        ),
        (f"class One:\n{RESET}    def step(): ...\n", "step has no parameter self"),
        (f"class One:\n    def __init__(self, size): ...\n{RESET}{STEP}", "needs size; give it a default"),
        (f"class One:\n    def get_reward(self, answer): ...\n{RESET}{STEP}", "needs answer; give it a default"),
        (f"class One:\n{RESET}{STEP}", "One has no method get_reward, which a reward of kind environment needs"),
        (f"class One:\n{RESET}    def look(self, a): ...\n", r"look has no docstring.* Or start its name with _"),
    ],
)
def test_environments_that_cannot_be_played(tmp_path: Path, text: str, message: str) -> None:
    paths = place(tmp_path, HARM + text)
    with pytest.raises(InputError, match=message):
        definitions.check(Episodes(environment="docker.py:One"), paths, rewards=True)


def test_an_environment_as_trl_has_it_is_taken(tmp_path: Path) -> None:
    look = '    def look(self, name: str):\n        """Looks.\n\n        Args:\n            name: What.\n        """\n'
    text = f"class Old:\n{look}    def step(self, answer): ...\nclass One(Old):\n    def reset(self, **row): ...\n"
    world = definitions.environment(Episodes(environment="docker.py:One"), place(tmp_path, HARM + text))
    assert world
    assert [tool["function"]["name"] for tool in world.tools] == ["look"]
    assert (world.facts, world.steps, world.rewards) == (("prompt", "reference"), True, False)


def test_two_tools_of_one_name_and_files_elsewhere_are_refused(tmp_path: Path) -> None:
    look = 'def look():\n    """Looks."""\n'
    paths = place(tmp_path, f"{look}class One:\n{RESET}    def look(self):\n        '''Looks.'''\n")
    both = Episodes(tools=("docker.py:look",), environment="docker.py:One")
    with pytest.raises(InputError, match=r"align\.episodes\.tools both have a tool look; rename one"):
        definitions.check(both, paths, rewards=False)
    with pytest.raises(InputError, match=r"none\.py: align\.episodes\.tools\.0: no such file"):
        definitions.check(Episodes(tools=("none.py:look",)), paths, rewards=False)
    with pytest.raises(SettingsError, match="expected a name inside"):
        definitions.check(Episodes(environment="../docker.py:One"), paths, rewards=False)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (tiny.CHATML, "the chat template does not show tools to the model; choose a base whose"),
        (TEMPLATE.replace("'name': c.function.name,", ""), "cannot be parsed"),
        (TEMPLATE.replace("m in messages -%}", "m in messages if m.role != 'tool' -%}"), "does not write results of"),
        ("{{- messages[0].nothing.more -}}", "cannot render"),
    ],
)  # fmt: skip
def test_templates_that_cannot_write_calls_are_refused(tmp_path: Path, template: str, message: str) -> None:
    paths, tokenizer = place(tmp_path, HARM + TOOL), coder(template)
    episodes = Episodes(tools=("docker.py:run",))
    with pytest.raises(ModelError, match=message):
        check_template(episodes, paths, tokenizer, {tokenizer.eos_token_id})


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (TEMPLATE.replace("<|im_end|>", "."), "does not end an assistant turn with a token that stops generation"),
        ("{%- if messages[2:] -%}{{- raise_exception('one turn') -}}{%- endif -%}" + TEMPLATE, "one turn"),
    ],
)
def test_templates_without_further_turns_are_refused(tmp_path: Path, template: str, message: str) -> None:
    paths, tokenizer = place(tmp_path, HARM + f"class One:\n{RESET}{STEP}"), coder(template)
    with pytest.raises(ModelError, match=message):
        check_template(Episodes(environment="docker.py:One"), paths, tokenizer, {tokenizer.eos_token_id})


GRPO: dict[str, Any] = {"objective": "grpo", "episodes": {"tools": ["a.py:f"]}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "grpo", "episodes": {"max_turns": 3}}, "max_turns has no effect without tools or environment"),
        (
            {**GRPO, "objective": "rloo"},
            "rloo learns from single-turn answers.*set objective to grpo and gmpo, or remove",
        ),
        ({**GRPO, "objective": "dpo"}, "dpo learns from single-turn answers"),
        ({**GRPO, "batch_size": 4, "launch": {"processes": 2}}, "are untested with several processes"),
        ({**GRPO, "answer_tokens": 600}, r"more than the whole episode may have \(episodes.max_tokens = 512"),
        ({**GRPO, "rewards": [{"kind": "environment"}]}, "a reward of kind environment needs episodes.environment"),
        ({**GRPO, "rewards": [{"kind": "environment", "name": "x"}]}, "name has no effect"),
        ({"objective": "grpo", "episodes": {"tools": ["a.py:f", "b.py:f"]}}, "two tools are named f"),
        ({"objective": "grpo", "episodes": {"tools": ["os:system"]}}, "pattern"),
        ({"objective": "grpo", "episodes": {"environment": "a.py"}}, "pattern"),
        ({"objective": "async_grpo"}, "no two runs end in the same bytes; use grpo, with episodes"),
        ({"objective": "harbor"}, "containers that the package harbor starts"),
    ],
)
def test_settings_that_cannot_work(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate(values)
