"""The allow-list for HTML from outputs: what gets through, what does not, and that nothing can break out."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio2d365.safe_html import KNOWN, VOID, safe

PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Elements(HTMLParser):
    """What a reader of the page would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.depth = 0
        self.lowest = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.depth += tag not in VOID

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1
        self.lowest = min(self.lowest, self.depth)


def test_a_table_of_ours_comes_through_as_it_is() -> None:
    html = (
        '<figure class="cio-block cio-table"><figcaption>A &amp; B</figcaption><div class="cio-scroll" tabindex="0" '
        'role="region" aria-label="A"><table><tr><th scope="col">x</th></tr><tr><td>&lt;b&gt;</td></tr></table></div>'
        "</figure>"
    )
    assert safe(html) == html


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        ("<script>alert(1)</script>text", "text"),
        ("<style>p{}</style><p>text</p>", "<p>text</p>"),
        ("<svg><script>alert(1)</script><text>x</text></svg>after", "after"),
        ('<p onclick="alert(1)" style="x" id="content">a</p>', "<p>a</p>"),
        ('<a href="javascript:alert(1)">link</a>', "link"),
        ('<a href="https://example.com">link</a>', "link"),
        ("<img src=x onerror=alert(1)>", ""),
        ('<img src="https://example.com/a.png">', ""),
        ('<img src="data:text/html;base64,AAAA">', ""),
        (f'<img alt="a" src="{PIXEL}" onload=alert(1)>', f'<img alt="a" src="{PIXEL}">'),
        ('<meta http-equiv="refresh" content="0;url=//x">', ""),
        ('<form action="//x"><input value="v"><button>go</button></form>', "go"),
        ("<iframe srcdoc='<script>alert(1)</script>'></iframe>b", "b"),
        ('<div class="head cio-note sheet">c</div>', '<div class="cio-note">c</div>'),
        ("</div></main></body>d", "d"),
        ("<table><tr><td>e", "<table><tr><td>e</td></tr></table>"),
        ("<b><i>f</b>g</i>", "<b><i>f</i></b>g"),
        ("<details open><summary>h</summary></details>", '<details open=""><summary>h</summary></details>'),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("<!-- hidden --><p>i</p>", "<p>i</p>"),
        ("<ScRiPt>alert(1)</sCrIpT>j", "j"),
        ("<p tabindex='5'>k</p>", "<p>k</p>"),
        ("<p>l<br/>m</p>", "<p>l<br>m</p>"),
        ("<script/>alert(1)", "alert(1)"),
    ],
)
def test_what_is_not_known_is_dropped_and_its_text_stays(html: str, kept: str) -> None:
    assert safe(html) == kept


TRAPS = (
    *("<script>", "</script>", "<style>", "</style>", "<textarea>", "</textarea>", "<title>", "<plaintext>"),
    *("<template>", "<math>", "<svg/onload=a>", "<img/src=x/onerror=a>", "<a/href=javascript:a>", "<div/class=cio-x"),
    *("<p>", "</p>", "<td>", "</div>", "<!--", "-->", "<![CDATA[", "]]>", "'", '"', "<", ">", "&lt;"),
)
PIECES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(TRAPS),
    ),
    max_size=15,
)


@given(PIECES)
def test_whatever_comes_in_only_known_elements_leave_and_all_are_closed(pieces: list[str]) -> None:
    elements = Elements(safe("".join(pieces)))
    assert {tag for tag, _ in elements.found} <= KNOWN
    assert not any(name.startswith("on") or name in ("style", "href", "id") for _, a in elements.found for name in a)
    assert (elements.depth, elements.lowest) == (0, 0)


@given(PIECES)
def test_cleaning_twice_changes_nothing(pieces: list[str]) -> None:
    once = safe("".join(pieces))
    assert safe(once) == once
