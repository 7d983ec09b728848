"""How asking goes wrong: for one request, for now, or for all."""

from typing import Literal


class RequestError(Exception):
    """There is no answer, and asking again will not help: the request itself is at fault."""


class TransientError(RequestError):
    """There is no answer now; it is worth asking again."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        """`wait`: seconds that the server wants to be left alone, where it says so."""
        super().__init__(message)
        self.wait = wait


class NotUnderstood(TransientError):
    """What came back is no answer of the protocol: a server that starts, or another one."""


class UnreachableError(TransientError):
    """Nobody listens at the teacher's address."""


class BudgetExceeded(Exception):
    """The request was not sent: it could pass the budget."""


class FatalError(Exception):
    """Nothing can be asked: a wrong key, a wrong model, a server that is gone. The run ends; what arrived is kept."""

    def __init__(self, message: str, kind: Literal["input", "machine"]) -> None:
        """`kind`: who has to mend it: settings or environment (`input`), or the server (`machine`)."""
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """For other processes, where pickle would call the class with the message alone."""
        return type(self), (str(self), self.kind)


class NoLikelihoods(FatalError):
    """The server answers, and tells no likelihoods of what it was sent."""
