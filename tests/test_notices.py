"""Warnings: one logger, one handler of the programs, the first process alone."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import pytest

from restorekit.notices import LOGGER, notice, notice_once, on_terminal, unheard


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )


def test_the_program_writes_a_warning_to_the_stream_of_that_moment(capsys):
    with on_terminal():
        notice("50 % of it {stays} as it is")
        with on_terminal():  # a command within the program: still one handler
            notice("again")
    assert capsys.readouterr().err == "Warning: 50 % of it {stays} as it is\nWarning: again\n"
    assert LOGGER.propagate
    assert not LOGGER.handlers


def test_what_no_stream_can_write_is_escaped():
    done = run(
        """
        from restorekit.notices import notice, on_terminal
        with on_terminal():
            notice("caf\\udce9 \\u2713")
        """,
        PYTHONIOENCODING="ascii:strict",
    )
    assert done.stderr == "Warning: caf\\udce9 \\u2713\n"


def test_a_handler_of_a_library_on_the_root_does_not_say_it_again():
    done = run(
        """
        import logging
        from restorekit.notices import notice, on_terminal
        logging.basicConfig()
        with on_terminal():
            notice("once")
        """
    )
    assert done.stderr == "Warning: once\n"


def test_a_program_of_somebody_else_hears_it_in_its_own_handler(caplog):
    with caplog.at_level(logging.WARNING):
        notice("heard")
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        ("restorekit", "WARNING", "heard")
    ]
    assert run("from restorekit.notices import notice; notice('bare')").stderr == "bare\n"


@pytest.mark.parametrize(("rank", "heard"), [("0", True), ("1", False)])
def test_the_first_process_speaks_for_all(caplog, monkeypatch, rank, heard):
    monkeypatch.setenv("RANK", rank)
    notice("from this process")
    assert bool(caplog.messages) is heard


def test_once_is_once_and_unheard_is_nothing(caplog):
    for _ in range(2):
        notice_once("rare")
    with unheard():
        notice("dropped")
    assert caplog.messages == ["rare"]


def test_library_code_warns_in_no_other_way():
    from pathlib import Path

    import restorekit

    root = Path(restorekit.__file__).parent
    for path in root.rglob("*.py"):
        text, room = path.read_text(encoding="utf-8"), path.relative_to(root).parts[0]
        if room == "plugin" and "templates" in path.parts:
            continue
        assert "warnings.warn(" not in text, path
        assert room in ("cli", "testing") or "click.echo(" not in text, path
        assert path.name == "processes.py" or '"RANK"' not in text, path
