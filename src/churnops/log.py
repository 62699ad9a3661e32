"""Structured logging to standard error: one event with fields per line."""

import logging
import sys

import structlog

# Libraries that tell of failures nobody else sees, and from which level on. The server warns of every caller
# who does not speak HTTP.
_LIBRARIES = {"uvicorn": logging.ERROR, "opentelemetry": logging.WARNING, "asyncio": logging.ERROR}
_CUT_SHORT = "ASGI callable returned without"  # as answers end that cannot go on; they are counted


def configure(*, json: bool, level: str = "INFO") -> None:
    """Send events to standard error, as JSON lines for machines or as short text for people."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    )
    common: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    plain = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[plain, renderer], foreign_pre_chain=common)
    )
    handler.addFilter(lambda record: not str(record.msg).startswith(_CUT_SHORT))
    for name, least in _LIBRARIES.items():
        library = logging.getLogger(name)
        library.handlers = [handler]
        library.propagate = False
        library.setLevel(least)
