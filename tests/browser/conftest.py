"""JupyterLab in a browser, with a server of skynb's own behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import LabPage, browser_missing, browsing, tab
from tests.support.jupyter import jupyter
from tests.support.site import Site, site


@pytest.fixture(scope="module")
def here() -> Iterator[Site]:
    if missing := browser_missing():
        pytest.skip(missing)
    with site() as made:
        yield made


@pytest.fixture(scope="module")
def server(here, tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp("notebooks"), lab=True) as made:
        yield made


@pytest.fixture(scope="module")
def browser(here):
    with browsing() as made:
        yield made


@pytest.fixture(scope="module")
def window(browser, server) -> Iterator[LabPage]:
    with tab(browser, server) as made:
        yield made


@pytest.fixture
def lab_page(window, request) -> Iterator[LabPage]:
    """Lab as if it were opened for the first time; a picture at the end of what was seen."""
    window.page.unroute_all()
    yield window.open()
    window.picture(request.node.name)
