"""The language of short texts, and none for code and commands."""

# ruff: noqa: RUF001 - letters of many alphabets and typographic quotes are what is tested

import pytest

from tasks.clean.language import ENOUGH, language

TEXTS = {
    "ar": "هل يمكنك مساعدتي في هذا؟",
    "de": "Kannst du mir bitte beim Kochen helfen?",
    "el": "Μπορείς να με βοηθήσεις;",
    "en": "Hi, can you help me find a recipe?",
    "es": "¿Puedes ayudarme, por favor?",
    "fr": "Peux-tu m'aider, s'il te plaît ?",
    "hi": "क्या आप मेरी मदद कर सकते हैं?",
    "it": "Puoi aiutarmi, per favore?",
    "ja": "手伝ってもらえますか？",
    "ko": "도와주실 수 있나요?",
    "nl": "Kun je me alsjeblieft helpen?",
    "pl": "Czy możesz mi pomóc?",
    "pt": "Você pode me ajudar, por favor?",
    "ru": "Можешь мне помочь с этим?",
    "sv": "Jag har bokat ett bord för två personer.",
    "th": "คุณช่วยฉันได้ไหม",
    "tr": "Bana yardım edebilir misin?",
    "uk": "Чи можеш ти мені допомогти?",
    "vi": "Bạn có thể giúp tôi không?",
    "zh": "你能帮我吗？请停止所有正在运行的容器。",
}


@pytest.mark.parametrize("code", TEXTS)
def test_short_questions(code: str) -> None:
    detected, confidence = language(TEXTS[code])
    assert detected == code
    assert ENOUGH <= confidence <= 1
    assert (detected, confidence) == language(TEXTS[code])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "42",
        "ok",
        "Yes.",
        "google.com",
        "docker ps -a --filter 'status=exited'",
        "docker stop $(docker ps -q)",
        "def f(x):\n    return x + 1",
        "SELECT run_id, MAX(ct) FROM wells_table WHERE role = 'N';",
        '[{"airlines": "American Airlines", "arrives_next_day": "True"}]',
        "```python\n# the sum of all the numbers in the list\nprint(sum(numbers))\n```",
        "| Column 1 | Column 2 |\n|:---|:---|",
    ],
)
def test_none_for_what_is_too_short_or_no_prose(text: str) -> None:
    assert language(text)[0] is None


def test_code_amid_prose_is_passed_over() -> None:
    answer = language(
        "Das macht `for item in the_list: print(item)` so:\n```\nthe end of the loop\n```\nund dann hört es auf."
    )
    assert answer[0] == "de"


def test_half_a_surrogate_pair_is_no_fault() -> None:
    assert language("Hi, can you help me find a recipe \ud83d please?")[0] == "en"
