"""A teacher that does what every recipe asks of it, the same each time: the answer depends on the request alone."""

import hashlib
import json
import re

from tests.tasks.teacher_server import Asked, Reply

NOUNS = ("image", "container", "network", "volume", "registry", "secret", "stack", "plugin", "context", "builder")
VERBS = ("remove", "inspect", "rename", "prune", "export", "restore", "compare", "label", "archive", "mount", "tag")


def good(asked: Asked) -> Reply:
    """Play the role that the prompt gives: inventor, rewriter, reader, judge, user, tool, or assistant."""
    text, sample = asked.text, str(asked.body.get("seed", ""))
    messages = asked.body.get("messages", [])
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
    if "# AI Application" in text:
        count = int(re.findall(r"Develop (\d+) user queries", text)[0])
        return Reply("\n".join(f"{n + 1}. {task(text + sample, n)}" for n in range(count)))
    if "act as a Prompt" in text:
        given = re.findall(r"Given Prompt#:\n(.*?)\n#", text, re.DOTALL)[0].strip()
        return Reply(f"#Rewritten Prompt#:\n{given}, and name one thing that can go wrong")
    if "Reply with a JSON list" in text:
        return Reply(json.dumps(questions(text.split("\nPassage:\n", 1)[1])))
    if "## Annotation" in text:
        shown = re.findall(r"<text \d+> .*?([\d]+) marks", text)
        return Reply(
            "\n\n".join(f"#### Output for Text {n}\nRating: {mark}\nRationale: so." for n, mark in enumerate(shown, 1))
        )
    if system.startswith("You play a person"):
        return Reply(f"Question {sum(m['role'] == 'assistant' for m in messages) + 1} about {system.splitlines()[1]}")
    if system.startswith("You stand in for the tool"):
        return Reply('{"state": "running"}')
    if asked.body.get("tools") and messages[-1]["role"] == "user":
        return Reply(None, tool_calls=[{"id": "x9", "type": "function",
                                        "function": {"name": "state", "arguments": '{"name": "web1"}'}}])  # fmt: skip
    if "prompt" in asked.body:
        return Reply(task(sample, asked.number))
    mark = int(hashlib.sha256((text + sample).encode()).hexdigest(), 16) % 5 + 1
    return Reply(f"This is the answer to {hashlib.sha256(text.encode()).hexdigest()[:8]}, worth {mark} marks")


def task(salt: str, number: int) -> str:
    """An instruction that is unlike others."""
    digest = hashlib.sha256(f"{salt}/{number}".encode()).digest()
    picked = [words[byte % len(words)] for words, byte in zip((VERBS, NOUNS) * 3, digest, strict=False)]
    return (
        f"Explain how to {picked[0]} a {picked[1]}, then {picked[2]} the {picked[3]} and {picked[4]} every {picked[5]}"
    )


def questions(passage: str) -> list[dict[str, str]]:
    """One good question, and one whose answer the passage does not bear out."""
    words = passage.split()
    quote = " ".join(words[: min(6, len(words))])
    good = {"question": f"What does the part on {words[len(words) // 2]} begin with?", "answer": quote, "quote": quote}
    return [good, {**good, "question": f"How many {words[-1]} are there?", "answer": "About 40977 of them, in Peru."}]
