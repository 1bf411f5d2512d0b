"""The page's server: who may come in, what is kept and for how long, and the same through gradio's client."""

from __future__ import annotations

import errno
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.errors import RestorekitError, UnknownNameError
from restorekit.plugin.registry import registry
from restorekit.serve import Limits, choices
from restorekit.serve.pace import Pace, progress
from restorekit.serve.server import bind, is_local, users_of
from restorekit.serve.store import Store, plain_name

pytestmark = pytest.mark.xdist_group("serve")
SESSION = "a-session-of-the-tests"


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("gradio", reason="needs gradio: pip install 'restorekit[serve]'")
    from served import page

    with page(Limits(megabytes=0.01, files=3)) as url:
        yield url


@pytest.fixture
def http(address):
    import httpx

    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        yield client
        client.delete(f"sessions/{SESSION}")


@pytest.fixture
def rain(tmp_path):
    path = tmp_path / "rain.png"
    Image.new("RGB", (6, 4), (200, 30, 10)).save(path, dpi=(300, 300))
    return path


def restored(address, *arguments):
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False, analytics_enabled=False)
    return client.predict(handle_file(arguments[0]), *arguments[1:], api_name="/restore")


def test_programs_restore_through_gradios_client(address, rain):
    with Image.open(restored(address, str(rain))) as image:
        assert image.getpixel((0, 0)) == (55, 225, 245)
        assert round(image.info["dpi"][0]) == 300
    with Image.open(restored(address, str(rain), "invert", 0.0)) as image:
        assert image.getpixel((0, 0)) == (200, 30, 10)


def test_the_example_of_the_documentation_runs(address, rain, monkeypatch):
    page = Path(__file__).resolve().parents[1] / "docs" / "guide" / "serve.md"
    [example] = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    Image.open(rain).save(rain.with_name("photo.jpg"), quality=95)
    monkeypatch.chdir(rain.parent)
    found: dict[str, str] = {}
    exec(example.replace("http://127.0.0.1:7860/", address), found)
    colours = [np.array(Image.open(found[name]).getpixel((0, 0))) for name in ("path", "half")]
    assert np.abs(colours[0] - (55, 225, 245)).max() <= 3
    assert np.abs(colours[1] - 127.5).max() <= 3


def test_programs_get_the_command_lines_messages(address, rain):
    rain.write_text("no picture")
    with pytest.raises(Exception, match=r"^rain\.png: not an image of a kind that can be read"):
        restored(address, str(rain))
    with pytest.raises(Exception, match=r"no model 'inverd' here; use one of invert, slow\. Did you mean 'invert'\?"):
        restored(address, str(rain), "inverd")


def test_other_files_of_the_machine_are_not_read(http, rain):
    for path in (str(rain), "https://example.org/a.png", f"{os.environ['GRADIO_TEMP_DIR']}/../../{rain.name}", None):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        assert http.post("gradio_api/call/restore", json={"data": [file, "", 1.0]}).status_code == 403
        joined = {"data": [[{"deep": file}], ""], "fn_index": 0, "session_hash": "x"}
        assert http.post("gradio_api/queue/join", json=joined).status_code == 403
    assert http.get(f"gradio_api/file={rain}").status_code == 403


def test_only_gradios_queue_and_client_can_be_reached(http):
    assert http.get("gradio_api/info").status_code == 200
    for path in (
        "gradio_api/proxy=https://example.org",
        "gradio_api/runs",
        "gradio_api/vibe-edit",
        "docs",
        "openapi.json",
    ):
        assert http.get(path).status_code == 404, path


def test_strangers_are_sent_away(http):
    assert http.get("/", headers={"host": "evil.example"}).status_code == 421
    assert http.get("/", headers={"host": "localhost:7860"}).status_code == 200
    put = {"url": f"sessions/{SESSION}/files/a.png", "content": b"x"}
    assert http.put(**put, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert http.put(**put, headers={"sec-fetch-site": "same-origin"}).status_code == 201
    assert "default-src 'self'" in http.get("/").headers["content-security-policy"]


def test_uploads_have_limits(http):
    answer = http.put(f"sessions/{SESSION}/files/large.png", content=bytes(20_000))
    assert (answer.status_code, answer.json()["detail"]) == (
        413, "large.png: it is larger than 0.01 MB, the limit of this page",
    )  # fmt: skip
    assert http.get(f"sessions/{SESSION}").json() == []
    codes = [http.put(f"sessions/{SESSION}/files/{i}.png", content=b"x").status_code for i in range(4)]
    assert codes == [201, 201, 201, 409]
    assert http.put("sessions/short/files/a.png", content=b"x").status_code == 400


def test_what_fails_on_download_is_explained(http):
    item = http.put(f"sessions/{SESSION}/files/a.png", content=png()).json()["id"]
    http.post("gradio_api/queue/join", json={"data": [item, ""], "fn_index": 0, "session_hash": "kept"})
    http.get("gradio_api/queue/data", params={"session_hash": "kept"})
    assert http.get(f"items/{item}/result").status_code == 200
    http.put(f"items/{item}/strength", json=0.5)
    (Path(os.environ["GRADIO_TEMP_DIR"]).parent / "items" / item / "a.png").write_text("damaged since")
    answer = http.get(f"items/{item}/result")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("a.png: not an image of a kind that can be read")
    assert http.get("items/nobody/result").status_code == 404
    assert http.put(f"items/{item}/strength", json=2).status_code == 422


def test_a_full_disk_is_explained(http, monkeypatch):
    from restorekit.serve import app

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(app, "_receive", full)
    answer = http.put(f"sessions/{SESSION}/files/a.png", content=b"x")
    assert (answer.status_code, "could not keep the file (No space left" in answer.json()["detail"]) == (507, True)
    assert http.get(f"sessions/{SESSION}").json() == []


def test_work_ends_when_the_visitor_goes_away(http):
    item = http.put(f"sessions/{SESSION}/files/a.png", content=png()).json()["id"]
    http.post("gradio_api/queue/join", json={"data": [item, "slow"], "fn_index": 0, "session_hash": "gone"})
    with http.stream("GET", "gradio_api/queue/data", params={"session_hash": "gone"}) as events:
        for line in events.iter_lines():
            if '"working"' in line:
                break
    states = iter(lambda: (time.sleep(0.1), http.get(f"sessions/{SESSION}").json()[0]["state"])[1], "cancelled")
    assert len(list(itertools.islice(states, 100))) < 100


def png():
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "PNG")
    return file.getvalue()


def test_a_password_keeps_others_out(rain):
    pytest.importorskip("gradio", reason="needs gradio: pip install 'restorekit[serve]'")
    import httpx
    from served import page

    with page(users={"me": "secret"}) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        for path in ("settings", "gradio_api/info", "config", f"sessions/{SESSION}"):
            assert client.get(path, auth=("me", "wrong")).status_code == 401
            assert client.get(path, auth=("you", "")).status_code == 401
            assert client.get(path, auth=("me", "secret")).status_code == 200


def test_files_are_gone_when_removed_when_old_and_at_the_end(tmp_path, rain):
    store = Store(tmp_path / "kept", Limits(minutes=10))
    old, young, removed = (store.add(SESSION, f"{name}.png") for name in ("old", "young", "removed"))
    for item in (old, young, removed):
        item.source.write_bytes(rain.read_bytes())
    store.remove([removed])
    assert removed.stop.is_set()
    assert not removed.folder.exists()
    old.used -= 601
    store.expire()
    assert (old.folder.exists(), young.folder.exists()) == (False, True)
    assert store.of(SESSION) == [young]
    sent = store.uploads / "hash"
    sent.mkdir()
    store.expire()
    assert sent.exists()
    os.utime(sent, (time.time() - 601,) * 2)
    store.expire()
    assert not sent.exists()


def test_the_folder_of_uploads_is_deleted_at_the_end():
    pytest.importorskip("gradio", reason="needs gradio: pip install 'restorekit[serve]'")
    import httpx
    from served import page

    with page() as url:
        folder = Path(os.environ["GRADIO_TEMP_DIR"]).parent
        assert httpx.put(f"{url}sessions/{SESSION}/files/a.png", content=b"x", trust_env=False).status_code == 201
        assert list(folder.rglob("a.png"))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("...", "file"),
        ("a\n<b>.png", "ab.png"),
        ("é.jpg", "é.jpg"),
    ],
)
def test_names_of_uploads_are_harmless(given, kept):
    assert plain_name(given) == kept
    assert len(plain_name("x" * 300 + ".jpeg")) <= 120
    assert plain_name("x" * 300 + ".jpeg").endswith(".jpeg")


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_blending_is_rounded_and_goes_row_by_row(kind, top, monkeypatch):
    from restorekit.data.images import Picture
    from restorekit.serve import files

    monkeypatch.setattr(files, "_ROWS", 3)
    values = np.random.default_rng(0).integers(0, top, (2, 7, 5, 3), dtype=kind, endpoint=True)
    source, restored = Picture(values[0]), Picture(values[1])
    assert np.array_equal(files.blended(source, restored, 0.0).pixels, values[0])
    assert files.blended(source, restored, 1.0) is restored
    expected = 0.75 * values[0].astype(np.float64) + 0.25 * values[1]
    assert np.abs(files.blended(source, restored, 0.25).pixels - expected).max() <= 0.51


def test_time_left_is_learned_and_stays_plausible():
    pace = Pace()
    pace.learn("m", 2.0, 8.0)
    assert pace.expected("m", 3.0) == 12.0
    pace.learn("m", 1.0, 2.0)
    assert pace.expected("m", 1.0) == 3.0
    assert progress(2.0, 8.0) == (0.25, 6.0)
    shares = [progress(seconds, 8.0) for seconds in (6.4, 8.0, 20.0, 200.0)]
    assert all(0.79 < share < 1 and left > 0 for share, left in shares)
    assert shares == sorted(shares, key=lambda pair: pair[0])


def test_the_models_that_are_offered():
    offered = choices(registry())
    assert [choice.default for choice in offered] == [True] + [False] * (len(offered) - 1)
    purposes = {choice.name: choice.purpose for choice in offered}
    assert purposes["attngan"].startswith("To remove raindrops on the glass")
    assert all(purpose.endswith(".") for purpose in purposes.values())
    assert purposes["rain2avoid-plus"].startswith("To remove streaks of rain that falls in front of the scene. Better")
    assert ". pix2pix: U-Net" in purposes["pix2pix"]
    name = offered[-1].name
    assert choices(registry(), name)[0].name == name
    with pytest.raises(UnknownNameError):
        choices(registry(), "nobody")


def test_addresses_and_passwords():
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.5", "box")] == [
        True
    ] * 3 + [False] * 3
    assert users_of("a:b,c:d:e") == {"a": "b", "c": "d:e"}
    assert users_of(None) == {}
    for text in ("a", ":b", "a:"):
        with pytest.raises(RestorekitError, match="NAME:PASSWORD"):
            users_of(text)
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(RestorekitError, match=f"port {port}: Address already in use; give another"):
            bind("127.0.0.1", port)
    with pytest.raises(RestorekitError, match="jobs is 0"):
        Limits(jobs=0)


def test_asking_for_help_loads_neither_gradio_nor_torch():
    program = (
        "import sys; from click.testing import CliRunner; from restorekit.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['serve', '--help']).exit_code == 0\n"
        "assert not {'gradio', 'torch', 'fastapi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_gradio_the_command_says_how_to_get_it(monkeypatch):
    from restorekit.serve import server

    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(RestorekitError, match=r"pip install 'restorekit\[serve\]'"):
        server.require_gradio()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_ended(number, tmp_path):
    pytest.importorskip("gradio", reason="needs gradio: pip install 'restorekit[serve]'")
    import httpx

    guide = (Path(__file__).resolve().parents[1] / "docs/guide/serve.md").read_text(encoding="utf-8")
    [limits] = re.findall(r"^    restorekit serve (-m .*)", guide, re.MULTILINE)
    command = [sys.executable, "-m", "restorekit", "serve", "--port", "0", "--no-open", *limits.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "RESTOREKIT_SERVE_AUTH": "me:secret"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as run:
        assert run.stdout is not None
        lines = iter(run.stdout.readline, "")
        address = next(
            match[1] for line in lines if (match := re.search(r"restorekit serves (http://127\.0\.0\.1:\d+/)", line))
        )
        answer = httpx.get(f"{address}settings", auth=("me", "secret"), trust_env=False, timeout=60)
        settings = answer.json()
        assert "attngan" in [model["name"] for model in settings["models"]]
        assert [model["name"] for model in settings["models"] if model["default"]] == ["pix2pix"]
        assert settings["limits"]["bytes"] == 500_000_000
        assert list(tmp_path.glob("restorekit-serve-*"))
        run.send_signal(number)
        rest = run.stdout.read()
        assert run.wait(30) == 0, rest
    assert rest.strip() == "the page is closed; what was brought to it is deleted"
    assert not list(tmp_path.glob("restorekit-serve-*"))
