"""Servers that are broken, slow or hostile: one clear reason, the old rows, and no harm."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from skynb_catalog import editions
from skynb_catalog.refresh.fetching import Settings
from tests.support import price_pages as pages
from tests.support import price_server as serving
from tests.support.price_server import Page

pytestmark = pytest.mark.usefixtures("shipped_few")

LIST = f"{pages.AWS}/us-east-1/index.csv"
RIGHT = [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]
TEXT = pages.aws_csv(RIGHT)


@pytest.fixture
def aws(server, run, rows):
    """A refresh of AWS from a server whose list of us-east-1 is this page."""
    pages.aws(server, {"us-east-1": RIGHT})

    def go(page=None, **options):
        if page is not None:
            server.pages[LIST] = page
        return run("aws", names=["aws-price-list"], **options)

    return go


def why(report):
    """The one failure of the one source."""
    (only,) = report.sources
    ((_, reason),) = only.failures
    return reason


def unchanged(rows):
    return rows("aws")["us-east-1", "use1-az1", "m.large"].hourly_micro == 400_000


def reset(handler):
    """Half of the list, and then the connection is reset."""
    serving.cut(TEXT.encode(), len(TEXT) // 2)(handler)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def half_gzip(handler):
    """A compressed list whose end is missing, under a length that is right."""
    import gzip

    body = gzip.compress(TEXT.encode())[:-12]
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def chunks_that_stop(handler):
    """A chunked list that ends without its last chunk."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"400\r\n" + TEXT.encode()[:0x400] + b"\r\n")


def swapped(*names):
    head, _, rest = TEXT.partition('"SKU"')
    line, _, body = rest.partition("\n")
    for name in names:
        line = line.replace(f'"{name}"', '"Something Else"')
    return f'{head}"SKU"{line}\n{body}'


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (Page(script=serving.cut(TEXT.encode(), len(TEXT) // 2)), "cut short"),
        (Page(script=reset), "cut short"),
        (Page(script=half_gzip), "cut short"),
        (Page(script=chunks_that_stop), "cut short"),
        (Page(b"<html>Sign in</html>", kind="text/html; charset=utf-8"), "a web page"),
        (Page(b"<html>Sign in</html>\n", kind="text/csv"), "no column"),
        (Page(b""), "no column"),
        (Page(TEXT.rstrip("\n").encode()), "middle of a line"),
        (Page(swapped("Tenancy").encode()), "no column Tenancy"),
        (Page(TEXT.encode().replace(b"m.large", b"m.l\xff\xfege")), "cannot be read"),
        (Page(TEXT.replace('"m.large"', f'"{"x" * 200_000}"').encode()), "cannot be read"),
        (Page(b"no", status=403), "a key is missing"),
        (Page(b"no", status=404), "answered 404"),
        (Page(TEXT.encode(), headers={"Content-Encoding": "br"}), "not asked for"),
        (Page(b"not gzip at all", headers={"Content-Encoding": "gzip"}), "is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_that_are_none(aws, rows, page, said):
    """Each is refused with its reason and changes no row."""
    assert said in why(aws(page))
    assert unchanged(rows)


def test_an_empty_list_with_a_head_is_no_list(aws, rows):
    """No rows at all is not "everything is gone": the cloud keeps its old rows, and says why."""
    report = aws(Page(pages.aws_csv([]).encode()))
    (cloud,) = report.clouds
    assert not report.ok
    assert not report.published
    assert cloud.kept_old == "aws-price-list has no row of it"
    assert unchanged(rows)


def test_a_list_that_lost_an_accelerator_keeps_the_old_one(aws, rows):
    """Fewer accelerators than before: the old rows stay, named."""
    many = [pages.aws_row(f"m{number}.large", 1) for number in range(9)]
    report = aws(Page(pages.aws_csv([RIGHT[0], *many]).encode()))
    assert report.clouds[0].kept_old == "no more H100"
    assert unchanged(rows)


def test_a_list_that_shrank_keeps_the_old_one(aws, rows, server):
    """Fewer than 80 % of what the source gave last time is taken for a broken answer."""
    many = [pages.aws_row(f"m{number}.large", 1) for number in range(20)]
    pages.aws(server, {"us-east-1": RIGHT + many})
    assert aws().published
    pages.aws(server, {"us-east-1": RIGHT + many[:5]})
    report = aws()
    assert report.clouds[0].kept_old == "7 rows from aws-price-list, fewer than 80% of the last 22"
    assert len(rows("aws")) == 24


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("0", "price zero or negative"),
        ("-1", "price zero or negative"),
        ("1e400", "more than $100,000 an hour"),
        ("250000", "more than $100,000 an hour"),
    ],
)
def test_absurd_prices_are_set_aside(aws, rows, price, reason):
    """They stay in the file with their reason and are never offered."""
    from skynb_catalog import Catalog, Query

    many = [pages.aws_row(f"m{number}.large", 1) for number in range(20)]
    report = aws(Page(pages.aws_csv([*RIGHT, *many, pages.aws_row("m0.huge", price)]).encode()))
    assert report.ok
    catalog = Catalog.open()
    assert catalog.set_aside(reason) == [("aws", "us-east-1", "m0.huge", reason)]
    assert catalog.offers(Query(instance_type="m0.huge")) == []


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-inf", "", "free", "0x10", "1_000_000" * 2000])
def test_what_is_no_price_is_counted(aws, rows, price):
    """A row without a number is refused and counted, and its old price stays out of the region's new list."""
    many = [pages.aws_row(f"m{number}.large", 1) for number in range(20)]
    report = aws(Page(pages.aws_csv([*RIGHT, *many, pages.aws_row("m0.huge", price)]).encode()))
    if price.startswith("1_"):
        assert report.ok  # Python reads it as a number; as a price it is absurd
        return
    assert report.sources[0].refused == {"a price is no number": 1}
    assert not [key for key in rows("aws") if key[2] == "m0.huge"]


def test_duplicates(aws, rows):
    """The same row twice is one; two prices for one machine: the dearer, and it is counted."""
    report = aws(Page(pages.aws_csv([*RIGHT, RIGHT[0], pages.aws_row("p5.48xlarge", 5)]).encode()))
    assert report.sources[0].refused == {"two prices for one machine in one place": 1}
    assert rows("aws")["us-east-1", None, "p5.48xlarge"].hourly_micro == 55_000_000


@pytest.mark.parametrize("script", [serving.drip, serving.drip_headers], ids=["body", "head"])
def test_a_slow_server_is_left_at_the_deadline(aws, rows, server, script):
    """A byte now and then keeps no refresh waiting."""
    report = aws(Page(script=script), settings=Settings(mirror=server.mirror, seconds=1, pause=0.01))
    assert "time is up" in why(report)
    assert unchanged(rows)


def test_a_slow_source_holds_up_no_other(aws, run, rows, server):
    """AWS drips; gpuhunt's prices land."""
    server.put(LIST, script=serving.drip)
    pages.gpuhunt(server, "gcp", [pages.item("e2-standard-8", "us-central1-a", 0.27)])
    short = Settings(mirror=server.mirror, seconds=2, pause=0.01)
    report = run("aws", "gcp", names=["aws-price-list", "gpuhunt"], settings=short)
    assert report.published
    assert ("us-central1", "us-central1-a", "e2-standard-8") in rows("gcp")


def test_a_certificate_that_nobody_signed_is_refused(server, tmp_path):
    """Nothing is read, and no key is sent, without a verified connection."""
    from skynb_catalog.refresh.web import Web, WebError

    server.socket = self_signed(tmp_path).wrap_socket(server.socket, server_side=True)
    web = Web(hosts={"h.example": server.mirror.replace("http:", "https:")}, pause=0.01)
    with pytest.raises(WebError, match="cannot be reached") as refused:
        web.get("https://h.example/x", headers={"Authorization": "very-secret"})
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value)
    assert server.asked == []


def self_signed(folder):
    """TLS of a server that vouches for itself."""
    import ssl
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(tz=timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = folder / "server.pem"
    pem.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_an_endless_body_is_cut(server, tmp_path):
    """More than was allowed for a page is an error, not a full memory."""
    from skynb_catalog.refresh.web import Web, WebError

    server.put("h.example/x", script=serving.endless)
    with pytest.raises(WebError, match="larger than anything"):
        Web(mirror=server.mirror).get("https://h.example/x", most=1_000_000).body.read()


def test_a_bomb_does_not_go_off(server):
    """The limit counts what comes out of the compression."""
    from skynb_catalog.refresh.web import Web, WebError

    server.put("h.example/x", serving.bomb(50_000_000), headers={"Content-Encoding": "gzip"})
    with pytest.raises(WebError, match="larger than anything"):
        Web(mirror=server.mirror).get("https://h.example/x", most=1_000_000).body.read()


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"regions": [1]}', b"3", b'{"regions": {"../../etc": {}, "us-east-1/..": {}}}', b"{"],
    ids=["deep", "list", "number", "traversal", "half"],
)
def test_an_index_of_another_shape(aws, rows, server, body, own_cache):
    """No region is made from it, and no file outside of the cache."""
    server.put(f"{pages.AWS}/region_index.json", body)
    report = aws()
    assert not report.published
    assert unchanged(rows)
    assert all(".." not in place for place in server.asked)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("file:///etc/passwd", "answered 302"),
        ("http://127.0.0.1:9/elsewhere", "leads to http://127.0.0.1:9: not followed"),
        ("ftp://127.0.0.1/x", "not followed"),
        (f"/{LIST}", "answered 302"),
    ],
)
def test_redirects_stay_at_home(aws, rows, target, said):
    """Another scheme or host is not followed, and a circle ends."""
    assert said in why(aws(Page(status=302, headers={"Location": target})))
    assert unchanged(rows)


def test_a_redirect_on_the_same_host_is_followed(aws, rows, server):
    """As buckets do when they move."""
    server.put("elsewhere.csv", TEXT)
    assert aws(Page(status=302, headers={"Location": "/elsewhere.csv"})).ok
    assert not unchanged(rows)


def test_too_many_requests_is_waited_for(aws, rows, server):
    """429 with Retry-After, and then the list."""
    busy = Page(status=429, headers={"Retry-After": "0"})
    assert aws([busy, Page(status=503), Page(TEXT.encode())]).ok
    assert [place for place in server.asked if place == LIST] == [LIST] * 3
    assert not unchanged(rows)


def test_too_long_a_wait_is_not_waited_for(aws, server):
    """A server that asks for an hour is left for another day, after one request."""
    assert "answered 429" in why(aws(Page(status=429, headers={"Retry-After": "3600"})))
    assert server.asked.count(LIST) == 1


def test_next_pages_stay_on_their_host(run, rows, server):
    """Azure's link to another host is not followed; one that leads to itself ends."""
    item = pages.azure_item("Standard_D8s_v5", "eastus", 0.4)
    server.put(pages.AZURE, pages.azure_page([item], "https://evil.example/x"))
    assert "another host" in why(run("azure", names=["azure-retail-prices"]))
    server.put(pages.AZURE, pages.azure_page([item], f"https://{pages.AZURE}"))
    assert "do not end" in why(run("azure", names=["azure-retail-prices"]))
    assert rows("azure")["eastus", None, "Standard_D8s_v5"].hourly_micro == 384_000


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (b"PK\x03\x04 nothing", "damaged"),
        (serving.zipped({"../../../tmp/gcp.csv": "x"}), "damaged"),
        (serving.zipped({"gcp.csv": bytes(400_000_000)}), "would unpack to 400 MB"),
        (serving.zipped({"gcp.csv": pages.gpuhunt_csv([], ["instance_name"])}), "has no column"),
        (serving.zipped({"gcp.csv": b"\xff\xfe\x00"}), "cannot be read"),
    ],
    ids=["none", "paths", "bomb", "columns", "bytes"],
)
def test_archives(run, rows, server, archive, said, own_cache, tmp_path):
    """A bad zip is refused; none is ever unpacked to disk."""
    pages.gpuhunt(server, "gcp", [])
    server.put(f"{pages.GPUHUNT}/gcp/20261120-42/catalog.zip", archive)
    assert said in why(run("gcp"))
    assert not list(tmp_path.rglob("gcp.csv"))


@pytest.mark.parametrize("version", ["../../x", "20261120-42\nX: y", "<html>", "99999999-1", ""])
def test_versions_that_are_none(run, server, version):
    """Nothing a server says becomes a part of an address or a date unless it looks like one."""
    server.put(f"{pages.GPUHUNT}/gcp/version", version)
    assert "names no version" in why(run("gcp"))


def test_hostile_names(run, rows, server):
    """Control characters, markup and endless words are no names."""
    items = [
        pages.item("e2-standard-8", "us-central1-a", 0.27),
        pages.item("<script>alert(1)</script>", "us-central1-a", 0.27),
        pages.item("a\nb", "us-central1-a", 0.27),
        pages.item("x" * 5000, "us-central1-a", 0.27),
        pages.item("e2", "us-central1-a'; DROP TABLE offer", 0.27),
    ]
    pages.gpuhunt(server, "gcp", items)
    assert run("gcp").published
    assert {key[2] for key in rows("gcp")} == {"e2-standard-8", "a3-highgpu-8g"}


def test_azure_items_that_are_none(run, server, rows):
    """A page whose items are something else is refused whole."""
    server.put(pages.AZURE, json.dumps({"Items": [1, None], "NextPageLink": None}))
    assert "another shape" in why(run("azure", names=["azure-retail-prices"]))


def test_keys_stay_out_of_sight(server, run, monkeypatch):
    """A key goes to its host in a header, and into no message, file or address."""
    from skynb_catalog.refresh.sources.lambda_cloud import Lambda

    monkeypatch.setenv("LAMBDA_API_KEY", "very-secret")
    server.put("api/v1/instance-types", "no", status=401)
    hosts = {"cloud.lambdalabs.com": server.mirror}
    report = run("lambda", sources=[Lambda()], settings=Settings(hosts=hosts, pause=0.01))
    assert server.headers[0]["Authorization"] == "Bearer very-secret"
    assert "very-secret" not in repr(report)
    files = [path for path in editions.cache.cache_dir().rglob("*") if path.is_file()]
    assert not [path for path in files if b"very-secret" in path.read_bytes()]


def test_a_mirror_gets_no_keys(server, run, monkeypatch):
    """A source with a key is left out when somebody else stands for its host."""
    from skynb_catalog.refresh.sources.lambda_cloud import Lambda

    monkeypatch.setenv("LAMBDA_API_KEY", "very-secret")
    report = run("lambda", sources=[Lambda()])
    assert report.sources[0].note == "a mirror gets no keys"
    assert server.asked == []
