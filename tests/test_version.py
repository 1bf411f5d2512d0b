"""All packages state one version, which one command sets."""

from __future__ import annotations

import sys

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
