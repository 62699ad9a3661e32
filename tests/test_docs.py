"""What the documents name exists: commands and their options, verbs of make, settings, linked files."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from churnops import cli
from churnops.config import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
COMMANDS = typer.main.get_command(cli.app)
MAKEFILE = (ROOT / "Makefile").read_text()

_SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_MAKE_VARIABLE = re.compile(r"\$\([A-Z_]+\)")


def shell_lines(text):
    """The lines of the text's shell blocks, as words; one that ends in a backslash goes on in the next."""
    lines = "".join(_SHELL_BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline_lines(text):
    """What stands between single backticks, as words."""
    return [code.split() for code in _INLINE_CODE.findall(text) if code.strip()]


def parse(words):
    """Read a command's words as the command line does, without running it; raises its usage error."""
    group = typer.Context(COMMANDS, info_name="churnops")
    name, command, rest = COMMANDS.resolve_command(group, list(words))
    command.make_context(name, rest, parent=group)


def options(verb):
    command = COMMANDS.commands[verb]
    commands = [command, *getattr(command, "commands", {}).values()]  # `lake` has verbs of its own
    return {name for one in commands for parameter in one.params for name in parameter.opts} | {"--help"}


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def text(request):
    return request.param.read_text(encoding="utf-8")


def test_a_command_in_a_shell_block_can_be_given(text):
    for words in shell_lines(text):
        if words[0].endswith("churnops"):
            parse(words[1:])


def test_a_command_in_a_sentence_has_its_verb_and_options(text):
    for words in inline_lines(text):
        if words[0] == "churnops" and words[1:] and re.fullmatch(r"[a-z-]+", words[1]):
            verb, *rest = words[1:]
            assert verb == "--help" or verb in COMMANDS.commands, words
            assert verb == "--help" or {word for word in rest if word.startswith("--")} <= options(verb), (
                words
            )


def test_a_verb_of_make_is_in_the_makefile(text):
    for words in shell_lines(text) + inline_lines(text):
        if words[0] == "make":
            asked = {word for word in words[1:] if "=" not in word}
            assert asked <= set(_TARGET.findall(MAKEFILE)), words


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_file(path):
    gone = [to for to in _LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / to).exists()]
    assert gone == []


def test_the_makefile_gives_commands_that_exist():
    commands = [line for line in MAKEFILE.splitlines() if line.startswith("\t$(BIN)/churnops ")]
    assert commands
    for line in commands:
        parse(shlex.split(_MAKE_VARIABLE.sub("1000", line))[1:])


def test_the_readme_has_every_verb_and_every_setting():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    verbs = re.findall(r"^\| `churnops ([a-z]+)` \|", readme, re.MULTILINE)
    settings = re.findall(r"^\| `CHURNOPS_([A-Z_]+)` \|", readme, re.MULTILINE)

    assert sorted(verbs) == sorted(COMMANDS.commands)
    assert sorted(settings) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("line", ["scor x.toml", "score", "score x.toml --asof 2024-01-01", "serve --port x"])
def test_a_command_that_cannot_be_given_is_found(line):
    with pytest.raises(typer.BadParameter.__base__):  # a usage error: typer has no public name for it
        parse(line.split())


def test_the_figures_of_the_readme_are_those_of_the_results():
    published = (ROOT / "docs/results.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \| (\w+) \| (\d\.\d+ \[.+?\]) \| (.+?) \|$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(rows) == 5
    for name, candidate, auc, gain in rows:
        row = re.search(
            rf"^\| \[{re.escape(name)}\]\(#\w+\) \| {candidate} \| (.+?) \| .+? \| (.+?) \|$",
            published,
            re.MULTILINE,
        )
        assert row, name
        assert row.groups() == (auc, gain)
