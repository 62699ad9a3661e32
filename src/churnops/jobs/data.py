"""`churnops data`: make up customers to try everything on."""

from pathlib import Path

from churnops.errors import SourceError
from churnops.sources.synthetic import Export, Population, write_export


def make_data(population: Population, folder: Path) -> Export:
    """Write the population's export into `folder`, replacing an earlier one; SourceError if it cannot."""
    try:
        return write_export(population, folder)
    except OSError as error:
        raise SourceError(str(folder), [f"cannot be written: {error.strerror or error}"]) from error
