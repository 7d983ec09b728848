"""The hub of Hugging Face, where it gives nothing: which errors that means, and why, in a few words."""

LONGEST = 300
"""Characters of a reason that the hub's library words itself."""


def unreachable() -> tuple[type[Exception], ...]:
    """What the hub's library raises where nobody answers or it refuses: the system's errors, its HTTP client's."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))


def reason(error: Exception) -> str:
    """Why the hub does not give something, as a person says it: part of a sentence.

    `error`: of `unreachable()`, as `huggingface_hub` raises it from a download or a question.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
    match cause:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case GatedRepoError():
            return "it is gated: request access on its page, and set HF_TOKEN"
        case RepositoryNotFoundError():
            return "the hub has nothing of this name that you may read"
        case RevisionNotFoundError():
            return "the hub has no such revision"
        case HfHubHTTPError():
            return f"the hub answers {first_line(cause)}"
        case _ if isinstance(cause, unreachable()):
            return f"the hub cannot be reached: {first_line(cause)}"
    return first_line(cause)


def first_line(error: BaseException) -> str:
    """The first line of an error's text; those of the hub's library go on with advice to its callers."""
    lines = str(error).strip().splitlines()
    return lines[0][:LONGEST].rstrip(".") if lines else type(error).__name__
