"""The page as a visitor uses it, in a browser: drop, compare, cancel, take home. Nothing may leave the machine."""

from __future__ import annotations

import base64
import io
import re
import socket
import zipfile
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="needs gradio: pip install 'restorekit[serve]'")
expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

from served import page as served  # noqa: E402

expect.set_options(timeout=30_000)  # a busy machine is slow
pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def connected():
    """Where this process, and with it the server, connects to."""
    places = []
    real = socket.socket.connect

    def connect(self, address):
        places.append(address)
        return real(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield places


@pytest.fixture(scope="module")
def address(connected):
    with served() as url:
        yield url


@pytest.fixture
def visit(open_page, address, connected):
    """Open the page; at the end no script had failed, and no other machine was asked for anything."""
    opened, asked = [], []

    def visited(**options):
        seen = open_page("about:blank", **options)
        seen.page.on("request", lambda request: asked.append(request.url))
        seen.page.set_default_timeout(30_000)
        seen.page.goto(address)
        expect(seen.page.locator("#kinds")).to_contain_text("JPEG")
        opened.append(seen)
        return seen

    yield visited
    assert [place for place in connected if isinstance(place, tuple) and place[0] not in ("127.0.0.1", "::1")] == []
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(address).netloc}
    assert [error for seen in opened for error in seen.errors] == []


def photo(width=60, height=40, colour=(200, 30, 10), suffix="PNG", **options):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, suffix, **options)
    return file.getvalue()


def drop(page, **files):
    """Drop files on the page as a mouse would: name=bytes."""
    sent = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
    script = """(sent) => {
      const carried = new DataTransfer();
      for (const [name, text] of sent)
        carried.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
      for (const kind of ["dragenter", "dragover", "drop"])
        document.querySelector("#drop").dispatchEvent(
          new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(script, sent)


def row(page, name):
    return page.locator("#list li", has=page.get_by_text(name, exact=True))


def downloaded(page, button):
    with page.expect_download() as waiting:
        button.click()
    return waiting.value.suggested_filename, waiting.value.path()


def test_drop_compare_and_download(visit):
    page = visit().page
    drop(page, **{"rain.png": photo()})
    expect(row(page, "rain.png")).to_have_class(re.compile("done"))
    expect(page.locator("#viewer-title")).to_have_text("rain.png")
    after = page.locator("#after")
    middle = after.evaluate("e => e.style.clipPath")
    page.locator("#split").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert after.evaluate("e => e.style.clipPath") != middle
    assert page.locator("#split").input_value() == "70"
    handle = page.locator("#bar").bounding_box()
    page.mouse.move(handle["x"] + 22, handle["y"] + 10)
    page.mouse.down()
    page.mouse.move(handle["x"] - 10, handle["y"] + 10)
    page.mouse.up()
    assert int(page.locator("#split").input_value()) < 60
    name, path = downloaded(page, page.locator("#download"))
    assert name == "rain-restored.png"
    assert Image.open(path).getpixel((0, 0)) == (55, 225, 245)


def test_strength_blends_without_restoring_again(visit):
    page = visit().page
    drop(page, **{"rain.png": photo()})
    expect(page.locator("#viewer-title")).to_have_text("rain.png")
    with page.expect_response(lambda answer: answer.url.endswith("/strength")) as kept:
        page.get_by_role("slider", name="Strength", exact=True).fill("50")  # its name for a screen reader
    assert kept.value.ok
    assert page.locator("#after").evaluate("e => e.style.opacity") == "0.5"
    _, path = downloaded(page, page.locator("#download"))
    assert np.abs(np.array(Image.open(path).getpixel((0, 0))) - 127.5).max() <= 0.5


def test_several_files_come_back_as_one_archive_and_stay_in_the_history(visit):
    page = visit().page
    drop(page, **{"a.png": photo(), "b.jpg": photo(suffix="JPEG"), "no.jpg": b"not a picture"})
    expect(row(page, "no.jpg")).to_contain_text("not an image of a kind that can be read")
    expect(row(page, "b.jpg")).to_have_class(re.compile("done"))
    assert "Traceback" not in page.content()
    assert "/tmp/" not in page.content()
    name, path = downloaded(page, page.locator("#zip"))
    assert name == "restored.zip"
    assert sorted(zipfile.ZipFile(path).namelist()) == ["a-restored.png", "b-restored.jpg"]
    page.reload()
    expect(page.locator("#list li")).to_have_count(3)
    expect(page.locator("#viewer-title")).to_have_text("b.jpg")
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#list li")).to_have_count(0)
    page.reload()
    expect(page.locator("#kinds")).to_contain_text("JPEG")
    expect(page.locator("#list li")).to_have_count(0)


def test_cancel_ends_what_runs_and_what_waits(visit):
    page = visit().page
    page.locator("#model").select_option("slow")
    expect(page.locator("#purpose")).to_have_text("For drops on the glass.")
    drop(page, **{f"{name}.png": photo() for name in ("first", "second", "third")})
    expect(row(page, "first.png")).to_contain_text(re.compile("starting|restoring"))
    for name in ("second.png", "third.png"):
        expect(row(page, name)).to_contain_text("waiting")
    expect(page.locator("#overall-text")).to_contain_text("0 of 3 finished")
    row(page, "first.png").get_by_role("button", name="Cancel").click()
    expect(row(page, "first.png")).to_contain_text("cancelled")
    expect(row(page, "second.png")).to_contain_text(re.compile("starting|restoring"))
    page.get_by_role("button", name="Cancel all").click()
    expect(page.locator("#list li.cancelled")).to_have_count(3)
    page.locator("#model").select_option("invert")
    row(page, "first.png").get_by_role("button", name="Retry").click()
    expect(row(page, "first.png")).to_have_class(re.compile("done"))


def test_files_that_are_dropped_together_are_restored_in_that_order(visit):
    page = visit().page
    ids, joined = {}, []

    def late(route):
        page.wait_for_timeout(1500)  # the second file's upload ends meanwhile
        route.continue_()

    def note(request):
        if request.url.endswith("queue/join"):
            joined.append(request.post_data_json["data"][0])

    def answered(response):
        if response.request.method == "PUT" and "/files/" in response.url:
            ids[response.json()["id"]] = response.json()["name"]

    page.route("**/files/large.png", late)
    page.on("request", note)
    page.on("response", answered)
    drop(page, **{"large.png": photo(), "small.png": photo(), "last.png": photo()})
    expect(page.locator("#list li.done")).to_have_count(3)
    assert next(iter(ids.values())) == "small.png"
    assert [ids[one] for one in joined] == ["large.png", "small.png", "last.png"]


def test_a_file_behind_one_that_is_cancelled_while_it_is_uploaded_goes_on(visit):
    page = visit().page
    page.route("**/files/large.png", lambda route: None)  # never ends
    drop(page, **{"large.png": photo(), "small.png": photo()})
    expect(row(page, "small.png")).to_contain_text("waiting")
    row(page, "large.png").get_by_role("button", name="Cancel").click()
    expect(row(page, "small.png")).to_have_class(re.compile("done"))
    expect(row(page, "large.png")).to_contain_text("cancelled")


def test_a_photograph_of_12_megapixels_on_a_phone(visit):
    seen = visit(width=400, height=800, has_touch=True, is_mobile=True)
    page = seen.page
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    drop(page, **{"IMG_0001.jpg": photo(4000, 3000, suffix="JPEG", exif=turned, quality=60)})
    expect(row(page, "IMG_0001.jpg")).to_have_class(re.compile("done"), timeout=240_000)
    expect(page.locator("#facts")).to_contain_text("3000 × 4000 pixels")
    expect(page.locator("#drop .or")).to_be_hidden()  # fingers drop nothing
    page.locator("#zoom-in").click()
    expect(page.locator("#stage")).to_have_class(re.compile("large"))
    assert seen.wider_than_screen() == []
    _, path = downloaded(page, page.locator("#download"))
    assert Image.open(path).size == (3000, 4000)


def test_a_page_with_a_password(open_page):
    with served(users={"me": "secret"}) as url:
        seen = open_page(url, http_credentials={"username": "me", "password": "secret"})
        expect(seen.page.locator("#kinds")).to_contain_text("JPEG")
        drop(seen.page, **{"rain.png": photo()})
        expect(row(seen.page, "rain.png")).to_have_class(re.compile("done"))
        assert downloaded(seen.page, seen.page.locator("#download"))[0] == "rain-restored.png"
        assert seen.errors == []


def clip(path, frames=5):
    av = pytest.importorskip("av", reason="PyAV, the extra restorekit[video], is not installed")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        for _ in range(frames):
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40, np.uint8), format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path.read_bytes()


def test_clips_and_animations(visit, tmp_path):
    page = visit().page
    moving = photo(suffix="WEBP", save_all=True, lossless=True, append_images=[Image.new("RGB", (60, 40), (0, 0, 250))])
    drop(page, **{"drive.mp4": clip(tmp_path / "drive.mp4")})
    expect(page.locator("#viewer-title")).to_have_text("drive.mp4")
    expect(row(page, "drive.mp4").locator(".blank")).to_have_text("▶")
    drop(page, **{"wave.webp": moving})
    expect(row(page, "wave.webp")).to_have_class(re.compile("done"))
    expect(page.locator("#clip-after")).to_have_js_property("readyState", 4)
    expect(page.locator("#compare")).to_be_hidden()
    name, path = downloaded(page, page.locator("#download"))
    assert name == "drive-restored.mp4"
    import av

    with av.open(str(path)) as file:
        pixels = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(pixels) == 5
    assert abs(pixels[0].mean() - 215) < 3
    row(page, "wave.webp").locator(".open").click()
    expect(page.locator("#clip")).to_be_hidden()
    expect(page.locator("#after")).to_have_js_property("naturalWidth", 60)
    expect(page.locator("#blend")).to_be_hidden()
    _, path = downloaded(page, page.locator("#download"))
    assert Image.open(path).n_frames == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, scheme):
    seen = visit(color_scheme=scheme)
    assert seen.serious() == []
    drop(seen.page, **{"rain.png": photo(), "no.jpg": b"not a picture"})
    expect(row(seen.page, "no.jpg")).to_contain_text("not an image")
    expect(row(seen.page, "rain.png")).to_have_class(re.compile("done"))
    assert seen.serious() == []
