"""Descriptions of the topics, generated from the code that reads and writes them, for whoever does neither in Python.

``python -m sie_online.schemas`` writes them to ``deploy/schemas``; with ``--check`` it exits 2 if they are not current.
Within a major version only optional fields are added.

- ``topics``: JSON Schema (2020-12) by topic; of rows (``rows``), of the models topic (``model_records``), of headers
  (``headers``)
- ``asyncapi``: all of it in one AsyncAPI 3.1 document, with what its ``channels`` are
- ``files``: the files in ``deploy/schemas``, and the command, which ``__main__`` runs
"""

from sie_online.schemas.files import DIRECTORY, main, stale, texts, write
from sie_online.schemas.topics import schemas

__all__ = ["DIRECTORY", "main", "schemas", "stale", "texts", "write"]
