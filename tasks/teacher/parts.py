"""A request that is sent in parts: tokens that are scored one by one, each with a question of its own.

parts(request)  # [request] where one question will do
"""

from dataclasses import replace

from tasks.teacher.request import Request, Response


def parts(request: Request) -> list[Request]:
    """A question of its own for each token, where `request` is `by_prefix`; else `request` alone."""
    if not request.by_prefix:
        return [request]
    ids = request.content["ids"]
    return [
        replace(request, content={"ids": ids[: place + 1], "spans": [[place, place + 1]]})
        for start, end in request.content["spans"]
        for place in range(start, end)
    ]


def joined(responses: list[Response]) -> Response:
    """One response of those to the `parts` of a request."""
    if len(responses) == 1:
        return responses[0]
    received, answered = (
        None if None in counts else sum(filter(None, counts))
        for counts in zip(*((one.input_tokens, one.output_tokens) for one in responses), strict=True)
    )
    return Response(
        "".join(one.text for one in responses), responses[-1].finish_reason, (), received, answered,
        scores=tuple(score for one in responses for score in one.scores),
    )  # fmt: skip
