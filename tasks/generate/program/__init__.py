"""The program behind the synthetic data: a grammar of requests and commands, read from the seed folder.

It imports nothing heavy, so that the base model's text, the distilabel teacher and the tests share it. Three promises:
a held-out command is in no training or pretraining text; no held-out phrasing is; and no training request is a
near-duplicate of a test request (`tasks.dedup.similarity`), which `grammar.load` proves before any row is made.
"""

from tasks.generate.program.answer import answer
from tasks.generate.program.corpus import pretraining_lines
from tasks.generate.program.grammar import load
from tasks.generate.program.intents import Grammar, Intent
from tasks.generate.program.sample import Request, sample, splits

__all__ = ["Grammar", "Intent", "Request", "answer", "load", "pretraining_lines", "sample", "splits"]
