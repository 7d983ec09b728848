"""Models of a run behind an API that OpenAI's clients know, asked as they were in evaluation, and checked to answer so.

    python -m tasks.serve serve merged base --port 8000
    python -m tasks.serve check http://127.0.0.1:8000/v1 merged
    python -m tasks.serve chat merged

`models` says what can be served, `engine` who computes; `prompts` renders a request as evaluation does and `fields`
splits what comes back; `app` speaks HTTP; `gate` compares answers with those of the evaluation; `collected` keeps what
a person marked; `terminal` and `page.html` are two ways to talk.
"""
