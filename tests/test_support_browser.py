"""The browser that other tests open pages in sees what goes wrong on them."""

from __future__ import annotations

PAGE = """<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>t</h1>{}</main></body></html>"""


def test_errors_dialogs_and_faults_are_seen(open_page, tmp_path):
    file = tmp_path / "bad page.html"
    file.write_text(
        PAGE.format(
            "<script>alert('hello'); undefinedName()</script><img src='data:,'><p style='width:2000px'>wide</p>"
        )
    )
    seen = open_page(file, width=420)
    assert seen.dialogs == ["hello"]
    assert any("undefinedName" in error for error in seen.errors)
    assert any(fault.startswith("image-alt") for fault in seen.serious())
    assert any("wide" in element for element in seen.wider_than_screen())


def test_a_good_page_has_no_faults(open_page, tmp_path):
    file = tmp_path / "good.html"
    file.write_text(PAGE.format("<p>text</p><div style='overflow-x:auto'><p style='width:2000px'>in a box</p></div>"))
    seen = open_page(file, width=420)
    assert (seen.dialogs, seen.errors, seen.serious(), seen.wider_than_screen()) == ([], [], [], [])
