"""Everything that would go wrong with data, or with a chat template, under a tokenizer; no project, no GPU, no run.

    python -m tasks.audit DATA --tokenizer DIR_OR_ID [--chat-template FILE] [--max-length N] [--objective ...] [--json]
    python -m tasks.audit --template FILE [--tokenizer DIR_OR_ID] [--json]

The same reading as `clean`, the same checks as `template`. Exit code 0 when clean, 1 when a check fails, 2 for bad use.
"""
