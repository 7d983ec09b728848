"""Secrets and personal data in rows: found, counted, and redacted or dropped where params.yaml says so."""

from tasks.clean.privacy.finding import KINDS, Finding, Kind
from tasks.clean.privacy.search import find, redacted

__all__ = ["KINDS", "Finding", "Kind", "find", "redacted"]
