"""Documents of the common formats as Markdown, and Markdown as chunks that know where they stand."""

from tasks.generate.documents.chunk import Chunk, chunks
from tasks.generate.documents.cut import cut
from tasks.generate.documents.read import Document, documents

__all__ = ["Chunk", "Document", "chunks", "cut", "documents"]
