"""XMP packets: orientation, places, and a note of what was done (Adobe, XMP Specification, part 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

_ORIENTATION = re.compile(rb'(tiff:Orientation\s*(?:=\s*["\']|>)\s*)([0-9]+)')
_NAME = rb"[\w.-]+:GPS[\w.-]*"
_PLACE_ATTRIBUTE = re.compile(rb"\s" + _NAME + rb"""\s*=\s*("[^"]*"|'[^']*')""")
_PLACE_ELEMENT = re.compile(rb"<(" + _NAME + rb")[^>]*?(/>|>.*?</\1\s*>)", re.DOTALL)
_END = b"</rdf:RDF>"
NAMESPACE = "urn:restorekit:processing:1.0:"
_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def orientation_in(xmp: bytes | None) -> int | None:
    """Return the orientation that a packet states, 1 to 8, or None."""
    found = _ORIENTATION.search(xmp or b"")
    return int(found[2]) if found and found[2] in b"12345678" and len(found[2]) == 1 else None


def reset_orientation(xmp: bytes) -> bytes:
    """Return the packet with the orientation set to 1 (upright)."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def without_gps(xmp: bytes) -> bytes | None:
    """Return the packet without GPS properties; None when some could not be taken out."""
    plain = _PLACE_ELEMENT.sub(b"", _PLACE_ATTRIBUTE.sub(b"", xmp))
    return None if b"GPS" in plain or b"G\0P\0S" in plain else plain


def with_note(xmp: bytes | None, note: Mapping[str, str]) -> bytes | None:
    """Return the packet with `note` as properties of restorekit's own namespace; None when it has no place for them."""
    packet = xmp or _EMPTY
    if _END not in packet:
        return None
    fields = "".join(f" restorekit:{name}={quoteattr(text)}" for name, text in note.items())
    text = f'<rdf:Description rdf:about="" xmlns:restorekit="{NAMESPACE}"{fields}/>'
    before, _, after = packet.rpartition(_END)
    return before + text.encode("utf-8", "backslashreplace") + _END + after
