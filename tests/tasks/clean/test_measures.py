"""Measures and checks of quality, each with what is close to a fault and is none."""

import json

import pytest

from tasks.clean import measures

SENTENCE = "The quick brown fox jumps over the lazy dog."


def test_repeated_lines_count_all_but_the_first_and_no_brackets() -> None:
    assert measures.repeated_lines("\n".join([SENTENCE] * 4)) == pytest.approx(3 / 4)
    assert measures.repeated_lines("if a {\n  b = 1\n}\nif c {\n  d = 2\n}\n}\n\n\n") == 0
    assert measures.repeated_lines(SENTENCE) == measures.repeated_lines("") == 0


def test_repeated_sentences() -> None:
    assert measures.repeated_sentences(" ".join([SENTENCE] * 5)) == pytest.approx(4 / 5)
    assert measures.repeated_sentences("First this one. Then that one! Is it over?") == 0


def test_repeated_words_find_loops_without_punctuation() -> None:
    assert measures.repeated_words("and then I said " * 50) > 0.9
    assert measures.repeated_words("one two three four five") == 0
    assert measures.repeated_words("a b c d e f a b c d e g") == pytest.approx(5 / 12), "each word counts once"
    assert measures.repeated_words("a b c d e a b c d f a b c d g") == 0, "sequences of four are ordinary"


def test_runs_of_one_character() -> None:
    for before in range(25):
        text = "x" * before + "!" * 20
        assert measures.has_run(text, 20)
        assert measures.has_run(text + "x", 20)
        assert not measures.has_run(text, 26)
        assert not measures.has_run(text[:-1], 20) or before >= 20
    for drawn in ("-" * 200, "=" * 200, " " * 200, "." * 200, "#" * 200):
        assert not measures.has_run(drawn, 20)


def test_echo_is_the_share_of_the_answer() -> None:
    question = "What is the capital of France?"
    assert measures.echoed(question, question) == 1
    assert measures.echoed(question, "Question: what is the capital of france? Paris.") == pytest.approx(6 / 7)
    assert measures.echoed(question, "The capital of France is Paris.") == 0
    assert measures.echoed(question, "What is the capital of Spain? Madrid.") == 0
    assert measures.echoed("Yes or no?", "Yes or no?") == 0, "too short to tell"
    assert measures.echoed(question, f"{question}\n\n{'An essay under its title goes on and on. ' * 20}") < 0.1
    assert measures.echoed("", "Anything at all can be said here.") == 0


@pytest.mark.parametrize(
    "answer",
    [
        "Here it is:\n```python\nprint(1)\nfor x in",
        "Here it is:\n````\n```\nprint(1)\n```\nand so on",
        '{"name": "search", "arguments": {"query": "rec',
        '[{"a": 1}, {"a": 2}',
        "We went to the market and there we bought apples, pears and",
        "It serves as a reminder of the importance of",
        "He packed a tent, a stove,",
    ],
)
def test_truncated(answer: str) -> None:
    assert measures.is_truncated(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "docker ps",
        "docker ps -a --filter 'status=exited' --format json and",
        "docker run -it --rm alpine sh -c 'for i in 1 2; do echo the",
        "Paris",
        "the",
        "Fill in: the",
        "- apples\n- pears",
        "Kind regards,",
        "Here it is:\n```python\nprint(1)\n```",
        "Here it is:\n```python\nprint(1)\n```\nThat is all",
        "````markdown\n```python\nprint(1)\n```\n````",
        "}\n```\nThat closes what the last answer began.",
        '{"name": "search"}',
        "[Your name] thanks you for the letter",
        "{curly} brackets in a sentence are no JSON",
        "[1](https://example.com) is the source",
        "The answer is (a, b",
        ":( that is sad",
        "",
    ],
)
def test_not_truncated(answer: str) -> None:
    assert not measures.is_truncated(answer)


def test_what_the_service_said_decides() -> None:
    assert measures.is_cut("length")
    assert measures.is_cut("MAX_TOKENS")
    assert not measures.is_cut("stop")


def test_json_cut_anywhere_is_seen() -> None:
    whole = json.dumps({"messages": [{"role": "user", "content": 'a "b" \\ {c}'}], "n": [1, 2.5, None, True]})
    cut = [end for end in range(2, len(whole)) if not measures.is_truncated(whole[:end])]
    assert len(cut) <= 8, "only amid numbers and names, which may be other faults"
    assert not measures.is_truncated(whole)


def test_long_and_deep_texts() -> None:
    assert not measures.is_truncated("[" * 100_000), "too deep to be read, so nothing is said of it"
    assert measures.has_run("a" * 1_000_000, 50)
    assert measures.repeated_lines("a\n" * 100_000) == 0
