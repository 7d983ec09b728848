"""Where llama.cpp stops: at the end token of a file, at two further ones, and at those that it knows by name."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

ENDS = frozenset({
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
})  # fmt: skip
"""Tokens at which llama.cpp stops whatever the file says (`special_eog_ids` in llama-vocab.cpp)."""


@dataclass(frozen=True)
class Stops:
    """Ids at which generation ends, as far as a file has room for them."""

    known: list[int]
    """At these llama.cpp stops."""
    message: int | None
    turn: int | None
    """What the file names as the end of a message, and as that of a turn."""
    lost: list[int]
    """For these there is no room: llama.cpp runs on behind them."""


def named_stops(tokenizer: Any, stops: Collection[int]) -> Stops:
    """How a file says `stops`: those go first that llama.cpp does not know by name."""
    end = tokenizer.eos_token_id
    others = sorted({*stops} - {end})
    unknown = [number for number in others if tokenizer.convert_ids_to_tokens(number) not in ENDS]
    first = [*unknown, *[number for number in others if number not in unknown]]
    message, turn = [*first, None, None][:2]
    lost = [number for number in first[2:] if number in unknown]
    known = [number for number in others if number not in lost]
    return Stops([*([] if end is None else [end]), *known], message, end if turn is None else turn, lost)


def add_stops(writer: Any, tokenizer: Any, stops: Collection[int]) -> None:
    """Write `stops` into the metadata of a GGUF file, over what stands there."""
    named = named_stops(tokenizer, stops)
    if named.turn is not None:
        writer.add_eot_token_id(named.turn)
    if named.message is not None:
        writer.add_eom_token_id(named.message)


def report_lost(tokenizer: Any, stops: Collection[int]) -> None:
    """Say behind which tokens llama.cpp runs on."""
    if lost := [str(tokenizer.convert_ids_to_tokens(number)) for number in named_stops(tokenizer, stops).lost]:
        print(f"gguf: the format has no room for more stop tokens, so llama.cpp does not stop after {', '.join(lost)}")
