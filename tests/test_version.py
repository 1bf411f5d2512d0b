"""All packages state one version, which one command sets."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import set_version
from set_version import main, places, stated

from restorekit.version import __version__


def test_all_places_state_the_same_version():
    assert len(places()) >= 8
    assert {stated(path) for path in places()} == {__version__}


def test_one_command_sets_and_checks_all_of_them(tmp_path, monkeypatch):
    copies = []
    for number, path in enumerate(places()):
        copy = tmp_path / str(number) / path.name
        copy.parent.mkdir()
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        copies.append(copy)
    monkeypatch.setattr(set_version, "places", lambda: copies)
    monkeypatch.setattr(sys, "argv", ["set_version.py", "9.8.7"])
    main()
    assert {stated(copy) for copy in copies} == {"9.8.7"}
    monkeypatch.setattr(sys, "argv", ["set_version.py", "--check", "9.8.6"])
    with pytest.raises(SystemExit, match=r"not 9\.8\.6: .*version\.py: 9\.8\.7"):
        main()


def test_every_change_stands_under_its_kind():
    text = (Path(__file__).resolve().parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert releases
    for release in releases:
        assert re.match(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)\n", release)
        before, *groups = re.split(r"^### ", release, flags=re.MULTILINE)
        kinds = [group.partition("\n")[0] for group in groups]
        order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        assert kinds == [kind for kind in order if kind in kinds]
        assert "\n- " not in before
        assert all("\n- " in group for group in groups)
