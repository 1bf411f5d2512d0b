"""The documentation is true: commands and options exist and are documented, links lead somewhere, examples run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import stand_ins

from restorekit.cli.main import cli
from restorekit.commands import COMMANDS
from restorekit.plugin import hookspecs
from restorekit.plugin.entry import Entry
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, apply_overrides
from restorekit.recipe.check import model_recipe

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("plugins/*/README.md")], key=lambda p: p.as_posix()
)
page_test = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(REPOSITORY).as_posix())

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n\n)((?:(?: {4}.*)?\n)+)")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def code_lines(text: str) -> list[str]:
    """Return the lines of all shell examples of a page and its inline commands, continued lines joined."""
    fences = [body for language, body in _FENCE.findall(text) if language in ("", "sh", "bash", "console")]
    rest = _FENCE.sub("", text)
    blocks = [*fences, *_INDENTED.findall(rest + "\n")]
    inline = re.findall(r"`([^`\n]+)`", rest)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip() for line in [*joined.splitlines(), *inline]]


def commands_in(text: str) -> list[list[str]]:
    """Return the arguments of every call of restorekit in the examples of a page."""
    found = []
    for line in code_lines(text):
        call = re.search(r"(?:^|\s|-m )restorekit ((?!-)[a-z].*)", line)
        if call and not line.startswith(("pip ", "from ", "import ")):
            words = shlex.split(call[1].replace("...", ""), comments=True, posix=True)
            found.append([word for word in words if word not in (">", "|")])
    return found


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that `words` begin with, and the rest of them."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"there is no command {words[0]!r}"
        command, words = inner, words[1:]
    return command, words


@page_test
def test_commands_exist_with_their_options(page):
    for words in commands_in(page.read_text(encoding="utf-8")):
        command, rest = resolve(words)
        known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}
        for word in rest:
            if re.match(r"--?[a-z]", word):
                assert word.partition("=")[0] in known, f"restorekit {' '.join(words)}: no option {word}"


@page_test
def test_overrides_are_valid(page):
    for words in commands_in(page.read_text(encoding="utf-8")):
        changes = [words[i + 1] for i, word in enumerate(words) if word == "--set" and i + 1 < len(words)]
        if words[0] == "train" and changes:
            known = {registry().unique_name(c) for c in registry().components("model")}
            model = words[1] if words[1] in known else "remaen"
            assert isinstance(apply_overrides(model_recipe(registry(), model), changes), Recipe)


@page_test
def test_options_that_are_named_alone_exist(page):
    every = _all_options()
    for word in re.findall(r"`(--[a-z][a-z-]*)[^`]*`", page.read_text(encoding="utf-8")):
        assert word in every or word in FOREIGN, f"no command has the option {word}"


FOREIGN = {"--nnodes", "--node-rank", "--nproc-per-node", "--help", "--version", "--check"}


def _every_command() -> list[tuple[str, click.Command]]:
    context = click.Context(cli)
    found: list[tuple[str, click.Command]] = []
    waiting = [(name, cli.get_command(context, name)) for name in COMMANDS]
    while waiting:
        name, command = waiting.pop()
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            waiting += [(f"{name} {inner}", c) for inner, c in command.commands.items()]
    return found


def _all_options() -> set[str]:
    return {name for _, command in _every_command() for p in command.params for name in (*p.opts, *p.secondary_opts)}


def test_every_command_and_option_is_documented():
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    for path, command in _every_command():
        start = re.search(rf"^##+ restorekit {path}$", text, re.MULTILINE)
        assert start, f"docs/reference/commands.md lacks restorekit {path}; run `make docs`"
        section = re.split(r"^##+ ", text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
        for option in command.params:
            for name in (*option.opts, *option.secondary_opts) if isinstance(option, click.Option) else ():
                assert f"`{name}" in section, (
                    f"docs/reference/commands.md: restorekit {path} lacks {name}; run `make docs`"
                )


def test_generated_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(page: Path) -> set[str]:
    """Return the anchors that code hosts make of a page's headings."""
    plain = (re.sub(r"[^\w\- ]", "", h.lower()) for h in _HEADING.findall(page.read_text(encoding="utf-8")))
    return {heading.strip().replace(" ", "-") for heading in plain}


@page_test
def test_links_lead_somewhere(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


@page_test
def test_no_page_names_a_registrys_host(page):
    hosts = ("py" + "pi.org", "python" + "hosted.org", "download.pytorch" + ".org")
    assert not [host for host in hosts if host in page.read_text(encoding="utf-8")]


def test_every_dependency_has_its_licence_stated():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (DOCS / "licences.md").read_text(encoding="utf-8")
    direct = {re.split(r"[<>=\[ ]", line)[0] for line in project["dependencies"]}
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == direct
    for lines in project["optional-dependencies"].values():
        for line in lines:
            assert f"`{re.split('[<>=]', line)[0]}`" in text, line


def test_every_page_is_reachable_from_the_index():
    reached, waiting = set[Path](), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
        near = {
            (page.parent / link.partition("#")[0]).resolve() for link in links if link.partition("#")[0].endswith(".md")
        }
        waiting += [p for p in near - reached if p.is_relative_to(DOCS)]
    assert set(DOCS.rglob("*.md")) <= reached


def test_every_page_is_in_the_sites_navigation():
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("model", ["attngan", "pix2pix", "remaen", "rain2avoid", "derain"])
def test_page_of_a_model_names_what_its_plugin_offers(model):
    text = (DOCS / "models" / f"{model}.md").read_text(encoding="utf-8")
    plugin = next(p for p in registry().plugins if p.name == model)
    for entry in plugin.entries:
        if entry.kind in ("model", "generator", "discriminator", "prior"):
            assert f"`{entry.name}`" in text, f"{entry.kind} {entry.name}"


# the guide for plugin authors


def guide() -> str:
    """Return the text of all pages of the guide."""
    return "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "plugins").glob("*.md")))


def python_blocks(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the Python blocks that are files, by path, and the others in order."""
    files: dict[str, str] = {}
    others = []
    for language, body in _FENCE.findall(text):
        if language == "python":
            path = re.match(r"# (\S+\.py)\n", body)
            if path:
                files[path[1]] = body
            else:
                others.append(body)
    return files, others


def install_guide(fake_site) -> list[str]:
    """Write the guide's package into the fake site; return the blocks that are not files."""
    files, others = python_blocks(guide())
    files["restorekit_glow/__init__.py"] += (
        "\nfrom restorekit_glow.tracking import restorekit_commands, step_logged\n__all__ = ['restorekit_commands', 'step_logged']\n"
        'CHECK_SETTINGS = {"generator:glow": {"width": 8}}\n'
    )
    for name, text in files.items():
        path = fake_site.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    [project] = [tomllib.loads(body) for language, body in _FENCE.findall(guide()) if language == "toml"]
    [(group, points)] = project["project"]["entry-points"].items()
    lines = "\n".join(f"{name} = {module}" for name, module in points.items())
    fake_site.add(project["project"]["name"], f"[{group}]\n{lines}\n")
    return others


def test_guide_lists_every_field_and_hook():
    for field in Entry.__dataclass_fields__:
        assert f"`{field}`" in guide(), field
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "restorekit_spec")]
    assert len(hooks) >= 5
    for hook in hooks:
        assert f"`{hook}(" in guide(), hook


def test_guides_package_works(fake_site):
    others = install_guide(fake_site)
    listing = fake_site.restorekit("models")
    assert listing.returncode == 0, listing.stderr
    assert "glow" in listing.stdout
    assert "Warning" not in listing.stderr
    assert fake_site.restorekit("glow").stdout == "glowing\n"
    assert others
    for body in others:
        done = fake_site.python(body)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_guides_package_conforms(fake_site):
    install_guide(fake_site)
    done = fake_site.restorekit("plugins", "check", "glow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_guides_packages_are_typed(fake_site, tmp_path):
    """By mypy's strictest rules, with the core's own annotations, as an author's editor sees them."""
    install_guide(fake_site)
    options = [
        "--strict",
        "--follow-imports=silent",
        "--ignore-missing-imports",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    packages = sorted(path.parent.name for path in fake_site.folder.glob("*/__init__.py"))
    assert packages == ["restorekit_denoise", "restorekit_glow", "restorekit_haze"]
    done = fake_site.python(f"import sys; from mypy import api; sys.exit(print(*api.run({[*options, *packages]!r})))")
    assert "Success" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_guides_data_sets_pair_and_its_procedure_trains_by_them(fake_site, monkeypatch):
    install_guide(fake_site)
    monkeypatch.setenv("RESTOREKIT_DATA", str(fake_site.folder / "sets"))
    copy = fake_site.folder / "copy"
    stand_ins.pairs(copy)
    for side, folder in enumerate(("input", "target")):
        (copy / "sides").mkdir(exist_ok=True)
        shutil.copytree(copy / folder, copy / "sides" / ("wet", "dry")[side])
        for number, path in enumerate(sorted((copy / folder).iterdir())):
            (copy / "numbered").mkdir(exist_ok=True)
            shutil.copy(path, copy / "numbered" / f"{2 * number + side + 1}.png")
    for name, split in (("glow-numbered", "test"), ("glow-sides", "train")):
        added = fake_site.restorekit("data", "add", name, str(copy / name.removeprefix("glow-")), "--split", split)
        assert added.returncode == 0, added.stdout + added.stderr
        checked = fake_site.restorekit("data", "check", name)
        assert f"{name}@{split}: 2 pairs," in checked.stdout, checked.stdout + checked.stderr
    less = ["--set", "steps=2", "--set", "data.batch=2", "--set", "data.crop=32", "--device", "cpu", "-q"]
    done = fake_site.restorekit("train", "glow-cycle", "--data", "glow-sides", "--val", "none", "-o", "run", *less)
    assert done.returncode == 0, done.stdout + done.stderr
    logged = (fake_site.folder / "run" / "log.csv").read_text(encoding="utf-8").splitlines()[0]
    assert {"generator/l1", "back/l1", "cycle/l1"} <= {*logged.split(",")}


@page_test
def test_python_blocks_are_python(page):
    for language, body in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(body, str(page), "exec")


def test_nothing_that_ships_names_a_folder_outside_the_repository():
    shipped = [
        *REPOSITORY.glob("plugins/*/restorekit_*/**/*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
        *REPOSITORY.glob("*.md"),
    ]
    assert len(shipped) > 30
    assert not [path for path in shipped if "../shared" in path.read_text(encoding="utf-8")]
