"""Write what is made of the models of params.yaml: the JSON Schema and the page of every key.

python -m flows.params
"""

from pathlib import Path

from flows.params.model import SCHEMA, schema
from flows.params.reference import PAGE, page
from tasks.core.files import write_text

if __name__ == "__main__":
    write_text(Path(SCHEMA), schema())
    write_text(PAGE, page())
