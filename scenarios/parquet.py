"""Parquet tables, through an optional part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtraError, ScenarioError
from .files import check_file

_BATCH_ROWS = 10_000


def parquet_rows(path: Path, field: str) -> tuple[list[str], Iterator[tuple[int, Sequence[str]]]]:
    """Names of the flat columns, and rows of text with their number, batch by batch.

    Raises
    ------
    MissingExtraError
        Where pyarrow is not installed.
    ScenarioError
        If the file cannot be read.
    """
    check_file(path, field)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        what = f"{field}: {path.name!r} is a Parquet file, which"
        raise MissingExtraError("parquet", what=what) from error
    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, field, error) from error
    flat = [f.name for f in file.schema_arrow if not pyarrow.types.is_nested(f.type)]

    def rows() -> Iterator[tuple[int, Sequence[str]]]:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=flat):
                for row in zip(*(_texts(batch[name]) for name in flat), strict=True):
                    number += 1
                    yield number, row
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(path, field, error) from error

    return flat, rows()


def _texts(column: Any) -> list[str]:
    """Cells of a column as a CSV would hold them; instants to the microsecond."""
    from pyarrow import timestamp, types

    if types.is_timestamp(column.type):
        column = column.cast(timestamp("us", tz=column.type.tz), safe=False)
    return ["" if cell is None else str(cell) for cell in column.to_pylist()]


def _damaged(path: Path, field: str, error: Exception) -> ScenarioError:
    message = f"{str(path)!r} is no Parquet file that can be read: {str(error)[:200]}"
    return ScenarioError.single(field, message)
