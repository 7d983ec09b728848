"""Refusals and boilerplate, each with what only looks like it."""

# ruff: noqa: RUF001 - typographic quotes are what is tested

import pytest

from tasks.clean.refusals import is_boilerplate, is_refusal

REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I’m sorry, but I can’t help with that request.",
    "Sorry, I cannot help you with this.",
    "I cannot provide instructions for that.",
    "I can't comply with your request.",
    "I apologize, but I cannot provide information on the personal details of individuals.",
    "I apologize for the confusion, but I am unable to fulfill this request.",
    "As an AI language model, I cannot generate harmful content.",
    "As a responsible assistant, I won't help with illegal activities.",
    "As an AI developed by a company, I can't engage in that.",
    "Unfortunately, I'm not able to assist with that.",
    "I must respectfully decline.",
    "I'm unable to discuss that.",
    "I won't do that.",
    "Thank you for asking, but I do not feel comfortable sharing such information.",
    "I'm sorry, but I don't have the ability to book flights.",
    "I understand your frustration, but I cannot provide any assistance with this.",
    "No, I will not write that.",
    "My guidelines do not allow me to answer.",
    "I'm really sorry, but I cannot assist with this request.",
    "I'm afraid I can't do that.",
    "Sorry, but I'm not going to help with that.",
    "I can't create content of that nature.",
    "I cannot fulfill this request. I am just an AI.",
    "I will not provide guidance on making weapons.",
    "I'm not able to provide medical advice.",
    "It is not appropriate for me to answer that.",
    "I regret to inform you that I cannot help.",
    "As an ethical AI assistant, I can't share that information.",
    "Unfortunately I am unable to complete this request.",
    "I'm sorry, I am not able to generate that type of content.",
    "I don't feel comfortable writing this.",
    "That's not something I can help with.",
    "I have to decline this request.",
    "My apologies, but I'm unable to assist you with that.",
    "I can't support that kind of request.",
    "I cannot engage in conversations about that.",
    "No, I can't tell you how to do that.",
    "I cannot and will not provide that.",
    "I'm sorry, but as a language model I can't offer legal advice.",
    "I am sorry, but I cannot fulfil your request.",
    "I can't provide that kind of information.",
    "Sorry, I'm unable to help you with hacking into accounts.",
    "I apologize, but I'm not comfortable discussing this topic.",
    "I cannot write content that promotes violence.",
    "I won't be able to help you with that request.",
    "I need to decline this request.",
    "I'm sorry, but I cannot generate a response to this prompt.",
    "I do not feel comfortable providing advice on this matter.",
    "As an AI, I am not programmed to express opinions.",
    "I'm not allowed to share this.",
    "I cannot give you instructions for building explosives.",
    "I can't discuss that topic.",
    "We are unable to process your request.",
    "I'm sorry, I can't answer that question.",
    "I will not engage with this kind of content.",
]

ANSWERS = [
    "You cannot remove a running container; stop it first with `docker stop web`.",
    "docker rm cannot remove a running container. Add -f.",
    "Error: I cannot help you here means that the daemon is not running.",
    "\"I'm sorry, but I can't assist with that\" is what models say when they refuse.",
    "The user said: I can't help with that.",
    "I cannot recommend this film enough!",
    "I can't wait to see you.",
    "I cannot stress enough how important backups are.",
    "I'm sorry to hear that you're bored. Here are a few suggestions.",
    "I'm sorry for the delay. Your order will arrive tomorrow.",
    "I'm sorry, but I'm unable to come into work today, for I woke up with a fever.",
    "I will not succeed.",
    "Unfortunately, I cannot determine the angle given only two sides of a triangle.",
    "Sorry, the website is unavailable.",
    "As an AI assistant, I'd be more than happy to help you plan your trip.",
    "As a model of good design, I will not discuss other examples than this lamp.",
    "We cannot book rooms before May.",
    "I don't have any siblings.",
    "No, that is not possible with Compose.",
    "I'm sorry, but I can't provide a photograph of it; here is a drawing in text:\n /\\_/\\",
    "I can't believe it is over already.",
    "You can't mount a volume twice at one path.",
    "I cannot find the file; is the path right?",
    "I'm sorry, the table for four is no longer free at seven. Would eight do?",
    "We won't be open on Sunday.",
    "The container cannot start because the port is taken.",
    "I'm sorry about the bug. The fix is in version 2.",
    "I can't help but smile when I hear it.",
    "Sorry, I meant 3, not 4.",
    "I am unable to attend the meeting on Friday due to illness.",
    "'I cannot answer that' is a refusal; a better reply names the reason.",
    "I don't have a strong view, but tabs are common.",
    "I won't lie: this is hard. Start with the first chapter.",
    "However, it cannot be undone.",
    "I can't offer a discount on this item, but the next order ships free.",
    "As an assistant manager, I will help you with the stock.",
    "I cannot complete the puzzle without the last clue; could you give it?",
    "I do not have access to the building on weekends, so I work from home.",
    "I will not give up, she said.",
    "I'm not able to run as fast as before, but I enjoy it.",
    "I can't remember the name of that song, is it 'Yesterday'?",
    "I cannot agree with the reviewer: the pacing is good.",
    "You won't be able to help him unless he asks.",
    "I'm sorry for your loss.",
    "I am not able to see a difference between the two files; both hash to the same value.",
    "Sorry! It is `docker image ls`.",
    "I can't tell whether the door was locked, wrote the inspector.",
    "I will not charge you for the second visit.",
    "We cannot ship to this address. Please give another.",
    "I don't have change for a fifty.",
    "Unfortunately, the cake cannot be frozen.",
    "I can't do it by Monday, but Tuesday works.",
    "No, it won't help. Restart the daemon.",
    "That is not right: 7 times 8 is 56.",
    "I do not allow shoes in the house.",
    "I'm afraid the museum is closed on Mondays.",
    "This question goes to the heart of the matter.",
    "I cannot afford the rent, so I moved.",
    "As a bot owner, you can't share your token.",
    "I am unable to sleep when it rains.",
]


def test_refusals_and_what_only_looks_like_one() -> None:
    assert [answer for answer in REFUSALS if not is_refusal(answer)] == []
    assert [answer for answer in ANSWERS if is_refusal(answer)] == []


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I do not have personal opinions, but both are good.",
        "As an AI, I don’t have access to real-time data.",
        "I'm sorry, I'm an AI language model and do not have feelings.",
        "Unfortunately, I am just an AI, so I cannot taste it.",
        "As a large language model, I'm not able to see pictures.",
    ],
)
def test_boilerplate(answer: str) -> None:
    assert is_boilerplate("What is your favourite film?", answer)
    assert not is_boilerplate("Are you an AI or a human?", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI assistant, I'd be happy to help you plan the trip.",
        "As an artist, I do not have a favourite colour.",
        '"As an AI language model, I do not" is boilerplate.',
        "Paint an AI that does not sleep.",
        "I am an air traffic controller, not a pilot.",
    ],
)
def test_no_boilerplate(answer: str) -> None:
    assert not is_boilerplate("What is your favourite film?", answer)


@pytest.mark.parametrize(
    "text", ["sorry " * 2000, "but that " * 2000, "I understand " * 2000, "as an ai " * 2000, "thank you for a " * 2000]
)
def test_no_text_can_stop_the_expressions(text: str) -> None:
    """In exponential time this would not end."""
    assert not is_refusal(text)
    assert not is_boilerplate("", text)
