"""Where exported predictions go: Parquet files on any file system that fsspec reaches; a dictionary, in tests."""

from gateway.adapters.lake.memory import MemoryLake
from gateway.adapters.lake.parquet import ParquetLake

__all__ = ["MemoryLake", "ParquetLake"]
