"""Fixtures for tests of what is proposed."""

import pytest

from churnops.sources.detect import detect
from churnops.sources.files import stage
from churnops.sources.proposal.inquiry import Inquiry, Remarks
from churnops.sources.proposal.profile import profile
from churnops.sources.proposal.propose import propose


@pytest.fixture
def looked_at(tmp_path, engine):
    """Profile the file or folder at a path."""

    def look(path):
        source = detect(path)
        staged = stage(source, path.parent, tmp_path / "staged" / path.name, engine=engine)
        return profile(source, staged, engine.query)

    return look


@pytest.fixture
def proposed(looked_at, engine):
    """Propose a config for the files at one path or two."""

    def what(*paths, **answers):
        return propose("made", [looked_at(path) for path in paths], engine.query, answers=answers)

    return what


@pytest.fixture
def inquiry(engine):
    """An inquiry without answers or customs."""
    return Inquiry(engine.query, Remarks(), day_first=None)
