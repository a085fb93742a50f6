"""Data sets: from a `dataset` statement to rows of text, split once by a seeded hash.

In: `recipe.DataSpec` and the folders that a recipe may read. Out: `Data`, whose `DataRow`s the engine
renders and the metrics compare with; every fault of a file is a D5xx diagnostic that names its line.
"""

from steerdsl.data.loading import load
from steerdsl.data.split import rows
from steerdsl.data.tasks import load_task
from steerdsl.data.topic_words import load_words
from steerdsl.data.types import Data, DataRow

__all__ = ["Data", "DataRow", "load", "load_task", "load_words", "rows"]
