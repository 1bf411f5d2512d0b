"""Plugins are found each in isolation: what one does wrong is reported and disturbs nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest

GOOD = """
from restorekit.plugin import Entry, hookimpl
@hookimpl
def restorekit_entries():
    return [Entry(name="good-loss", kind="loss", target="fake_good:Loss", summary="A loss.")]
"""

BROKEN = {
    "import-error": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "raises": ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "syntax": ("def (:", "SyntaxError"),
    "hook-raises": (
        "from restorekit.plugin import hookimpl\n@hookimpl\ndef restorekit_entries():\n    return 1 / 0\n",
        "ZeroDivisionError",
    ),
    "hook-exits": (
        "from restorekit.plugin import hookimpl\n@hookimpl\ndef restorekit_entries():\n    exit()\n",
        "SystemExit",
    ),
    "returns-none": (
        "from restorekit.plugin import hookimpl\n@hookimpl\ndef restorekit_entries():\n    pass\n",
        "gave a NoneType; it must give a list of Entry",
    ),
    "not-entries": (
        "from restorekit.plugin import hookimpl\n@hookimpl\ndef restorekit_entries():\n    return ['x']\n",
        "gave a str; it must give Entry objects only",
    ),
    "misspelt": (
        "from restorekit.plugin import hookimpl\n@hookimpl\ndef restorekit_entires():\n    return []\n",
        "restorekit_entires",
    ),
    "wrong-argument": (
        "from restorekit.plugin import hookimpl\n@hookimpl\ndef restorekit_commands(group):\n    pass\n",
        "group",
    ),
    "twice": (
        GOOD.replace("return [", "return 2 * ["),
        "declares the loss 'good-loss' twice",
    ),
    "bad-entry": (
        GOOD.replace("good-loss", "Good Loss"),
        "entry name 'Good Loss' is not valid",
    ),
}


def plugins(site: Any) -> dict[str, dict[str, Any]]:
    done = site.restorekit("plugins", "--json")
    assert done.returncode == 0, done.stderr
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)}


def test_broken_plugins_are_reported_and_disturb_nobody(fake_site):
    fake_site.plugin("good", GOOD)
    for name, (source, _) in BROKEN.items():
        fake_site.plugin(name, source)
    found = plugins(fake_site)
    assert found["good"]["usable"]
    assert found["good"]["entries"] == [{"kind": "loss", "name": "good-loss"}]
    assert found["core"]["usable"]
    for name, (_, message) in BROKEN.items():
        assert not found[name]["usable"], name
        assert message in found[name]["error"], name
        assert "\n" not in found[name]["error"]
        assert found[name]["entries"] == []


def test_every_command_warns_once_in_one_line(fake_site):
    fake_site.plugin("broken", "raise RuntimeError('no good')")
    for command in (["losses"], ["--help"], ["models", "--json"]):
        done = fake_site.restorekit(*command)
        assert done.returncode == 0
        warnings = [line for line in done.stderr.splitlines() if "Warning" in line]
        assert len(warnings) == 1
        assert "'broken' (restorekit-fake-broken 1.0)" in warnings[0]
        assert "no good" in warnings[0]
        assert "`restorekit plugins check broken`" in warnings[0]


def test_check_prints_the_whole_traceback(fake_site):
    fake_site.plugin("broken", "def inner():\n    raise RuntimeError('no good')\ninner()\n")
    done = fake_site.restorekit("plugins", "check", "broken")
    assert done.returncode == 1
    assert "Traceback" in done.stdout
    assert 'fake_broken.py", line 2, in inner' in done.stdout


def test_unknown_name_mentions_plugins_that_failed(fake_site):
    fake_site.plugin("broken", "raise RuntimeError('no good')")
    done = fake_site.restorekit("models", "show", "brokn")
    assert done.returncode == 1
    assert "could not be loaded and may hold it: broken" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("group", ["restorekit.v0", "restorekit.v2"])
def test_other_interface_version_is_named_without_import(fake_site, group):
    fake_site.plugin("future", "raise SystemExit('imported')", group=group)
    error = plugins(fake_site)["future"]["error"]
    assert repr(group) in error
    assert "'restorekit.v1'" in error
    assert "install a version of restorekit-fake-future" in error
    assert "imported" not in error


def test_plugin_for_two_versions_is_loaded_with_ours(fake_site):
    points = "[restorekit.v1]\nboth = fake_good\n[restorekit.v2]\nboth = no_such_module\n"
    fake_site.add("restorekit-fake-both", points, fake_good=GOOD)
    done = fake_site.restorekit("plugins", "--json")
    assert [p["usable"] for p in json.loads(done.stdout) if p["name"] == "both"] == [True]
    assert done.stderr == ""


def test_groups_of_others_are_left_alone(fake_site):
    fake_site.add("something", "[restorekit.vendor]\nx = no_such_module\n[console_scripts]\ny = z:main\n")
    assert "x" not in plugins(fake_site)


def test_same_plugin_name_in_two_distributions(fake_site):
    fake_site.add("restorekit-a", "[restorekit.v1]\nshared = fake_a\n", fake_a=GOOD.replace("fake_good", "fake_a"))
    fake_site.add("restorekit-b", "[restorekit.v1]\nshared = fake_b\n", fake_b=GOOD.replace("fake_good", "fake_b"))
    done = fake_site.restorekit("plugins", "--json")
    first, second = (p for p in json.loads(done.stdout) if p["name"] == "shared")
    assert (first["distribution"], first["usable"]) == ("restorekit-a", True)
    assert (second["distribution"], second["usable"]) == ("restorekit-b", False)
    assert "'shared' is taken by restorekit-a; uninstall one of the two" in second["error"]


def test_core_is_not_to_be_replaced(fake_site):
    fake_site.plugin("core", GOOD)
    done = fake_site.restorekit("plugins", "--json")
    own, other = (p for p in json.loads(done.stdout) if p["name"] == "core")
    assert own["usable"]
    assert "taken by restorekit" in other["error"]


def test_one_module_as_two_plugins_keeps_the_first(fake_site):
    source = GOOD + "\n@hookimpl\ndef restorekit_commands(cli):\n    import click\n" \
        "    cli.add_command(click.Command('extra', help='Extra.'))\n"  # fmt: skip
    fake_site.add("restorekit-twice", "[restorekit.v1]\none = fake_good\ntwo = fake_good\n", fake_good=source)
    found = plugins(fake_site)
    assert found["one"]["usable"]
    assert "is registered already, as plugin 'one'" in found["two"]["error"]
    assert "extra" in fake_site.restorekit("--help").stdout  # its hooks are still there


def test_shadowed_copy_does_not_count(fake_site, tmp_path):
    fake_site.add("restorekit-fake-old", "[restorekit.v1]\nold = fake_old\n", version="2.0", fake_old=GOOD)
    older = fake_site.folder / "older"
    type(fake_site)(older).add("restorekit-fake-old", "[restorekit.v1]\nold = no_such_module\n", version="1.0")
    done = fake_site.python(
        f"""
        import sys
        sys.path.append({str(older)!r})
        from restorekit.plugin.registry import registry
        print([(p.version, p.error) for p in registry().plugins if p.name == "old"])
        """
    )
    assert done.stdout.strip() == "[('2.0', '')]", done.stderr


def test_unreadable_entry_points_are_reported(fake_site):
    fake_site.add("restorekit-damaged", "[restorekit.v1]\nthis line says nothing\n")
    fake_site.plugin("good", GOOD)
    done = fake_site.restorekit("plugins", "--json")
    assert done.returncode == 0, done.stderr
    found = {p["name"]: p for p in json.loads(done.stdout)}
    assert found["good"]["usable"]
    assert any(p["distribution"] == "restorekit-damaged" and p["error"] for p in found.values())


@pytest.mark.parametrize("name", ["~estorekit_left-0.1.dist-info", "restorekit-left-0.1.dist-info"])
def test_a_folder_of_another_name_disturbs_nobody(fake_site, name):
    fake_site.plugin("good", GOOD)
    fake_site.add("restorekit-left", "[restorekit.v1]\nleft = restorekit_left\n", "0.1")
    (fake_site.folder / "restorekit_left-0.1.dist-info").rename(fake_site.folder / name)
    done = fake_site.restorekit("plugins", "--json")
    assert done.returncode == 0, done.stderr
    found = {p["name"]: p for p in json.loads(done.stdout)}
    assert found["good"]["usable"]
    assert "restorekit_left" in found["left"]["error"]


@pytest.mark.parametrize(
    ("file", "content"), [("entry_points.txt", b"\xff\xfe"), ("METADATA", b"\xff\xfe"), ("METADATA", None)]
)
def test_damaged_metadata_is_reported_and_disturbs_nobody(fake_site, file, content):
    fake_site.plugin("good", GOOD)
    fake_site.add("restorekit-damaged", "[restorekit.v1]\ndamaged = restorekit_damaged\n")
    path = fake_site.folder / "restorekit_damaged-1.0.dist-info" / file
    path.unlink() if content is None else path.write_bytes(content)
    done = fake_site.restorekit("plugins", "--json")
    assert done.returncode == 0, done.stderr
    found = {p["name"]: p for p in json.loads(done.stdout)}
    assert found["good"]["usable"]
    assert "its metadata cannot be read" in found["restorekit_damaged-1.0.dist-info"]["error"]


def test_printing_plugin_does_not_spoil_json(fake_site):
    fake_site.plugin("good", "print('hello')\n" + GOOD)
    done = fake_site.restorekit("losses", "--json")
    assert "good-loss" in [row["name"] for row in json.loads(done.stdout)]
    assert "hello" in done.stderr


def test_order_does_not_depend_on_the_path(fake_site):
    for name in ("zeta", "alpha", "mid"):
        fake_site.plugin(name, GOOD.replace("good-loss", f"{name}-loss").replace("fake_good", f"fake_{name}"))
    names = [name for name in plugins(fake_site) if name in ("zeta", "alpha", "mid")]
    assert names == ["alpha", "mid", "zeta"]


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt()", "GeneratorExit()", "type('Own', (BaseException,), {})('own')"]
)
def test_what_is_no_exception_breaks_one_plugin_only(fake_site, raised):
    fake_site.plugin("rude", f"raise {raised}")
    fake_site.plugin("good", GOOD)
    ended = fake_site.restorekit("plugins", "--json")
    assert ended.returncode == 0, ended.stderr
    found = {plugin["name"]: plugin for plugin in json.loads(ended.stdout)}
    assert found["rude"]["error"]
    assert not found["good"]["error"]


def test_what_is_written_past_python_does_not_spoil_json(fake_site):
    fake_site.plugin("loud", "import os, sys\nos.write(1, b'noise')\nsys.__stdout__.write('more noise')\n" + GOOD)
    ended = fake_site.restorekit("losses", "--json")
    json.loads(ended.stdout)
    assert "noise" in ended.stderr


def test_a_lone_surrogate_in_an_error_is_shown(fake_site):
    fake_site.plugin("odd", r"raise ValueError('\udcff')")
    ended = fake_site.restorekit("plugins")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert r"\udcff" in ended.stderr


def test_metadata_without_a_version(fake_site):
    fake_site.plugin("old", GOOD)
    metadata = next(fake_site.folder.glob("*old*.dist-info")) / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: restorekit-fake-old\n")
    ended = fake_site.restorekit("plugins", "--json")
    assert ended.returncode == 0, ended.stderr
    assert [p["version"] for p in json.loads(ended.stdout) if p["name"] == "old"] == ["?"]


def test_the_environment_says_which_plugins_are_loaded(fake_site, monkeypatch):
    fake_site.add("restorekit-good", "[restorekit.v1]\ngood = fake_good\n", fake_good=GOOD)
    fake_site.add("restorekit-off", "[restorekit.v1]\noff = fake_off\n", fake_off="raise RuntimeError('imported')")
    monkeypatch.setenv("RESTOREKIT_PLUGINS", "good, nowhere")
    found = plugins(fake_site)
    assert found["good"]["error"] == ""
    assert "off" not in found
    assert "RESTOREKIT_PLUGINS names 'nowhere', and no installed plugin has that name" in found["nowhere"]["error"]
    monkeypatch.setenv("RESTOREKIT_PLUGINS", "")
    assert set(plugins(fake_site)) == {"core"}
