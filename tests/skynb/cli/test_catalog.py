"""skynb catalog refresh and doctor, with a server of prices on loopback."""

from __future__ import annotations

import json

import pytest

from skynb.cli.terminal import run
from skynb.client import catalog as client
from skynb.errors import SkynbError
from skynb_catalog import cache
from skynb_catalog.snapshots import pack, stamp
from tests.support import price_pages as pages
from tests.support.facts import fact
from tests.support.price_server import price_server


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A small shipped catalog, an empty cache, and a mirror with prices of GCP."""
    monkeypatch.setenv("SKYNB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("LAMBDA_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    gpu = {"accelerator": "H100", "accelerator_count": 8.0}
    facts = [
        fact(
            cloud="gcp", region="us-central1", instance_type="a3-highgpu-8g", hourly_micro=88_000_000, **gpu
        ),
        fact(cloud="azure", region="eastus", instance_type="Standard_D8s_v5"),
        fact(cloud="aws", instance_type="m.huge", hourly_micro=0),
        fact(cloud="aws", instance_type="m.odd", hourly_micro=5, spot_hourly_micro=9),
    ]
    packed = pack(facts)
    (tmp_path / "offers.xz").write_bytes(packed)
    mark = stamp(packed, "2026-01-01", len(facts))
    (tmp_path / "stamp.txt").write_text("".join(f"{value}\n" for value in mark))
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "offers.xz")
    with price_server() as found:
        monkeypatch.setenv("SKYNB_CATALOG_MIRROR", found.mirror)
        gpus = {"gpu_count": 8, "gpu_name": "H100", "gpu_memory": 80.0, "gpu_vendor": "nvidia"}
        items = [
            pages.item("a3-highgpu-8g", "us-central1-a", 99.0, **gpus),
            pages.item("x", "us-central1-a", 1, gpu_count=1, gpu_name="Z9", gpu_vendor="nvidia"),
        ]
        pages.gpuhunt(found, "gcp", items)
        yield found


def test_a_refresh_says_what_landed(server, capsys):
    """Two tables and the remarks; exit code 0; a plan of the same process sees the new price."""
    import skynb

    assert skynb.gpus("H100").rows[0].hourly_micro == 88_000_000
    assert run(["catalog", "refresh", "gcp"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[1].split()[:4] == ["gpuhunt", "landed", "gcp", "1"]
    cloud = next(line for line in lines if line.startswith("gcp "))
    assert cloud.split()[:7] == ["gcp", "refreshed", "1", "+1", "-1", "0", "0"]
    assert "gpuhunt refused: accelerator 'Z9' is not known (1)" in lines
    assert "In force: 4 rows" in lines[-1]
    assert skynb.gpus("H100").rows[0].hourly_micro == 99_000_000


def test_what_fails_is_named_and_the_rest_lands(server, capsys):
    """Exit code 1, the table all the same, and the reason."""
    assert run(["catalog", "refresh", "gcp", "azure", "--source", "gpuhunt"]) == 1
    said = capsys.readouterr()
    assert "gpuhunt azure: 127.0.0.1" in said.out
    assert "In force: 4 rows" in said.out
    assert said.err.startswith("Error: not everything landed: gpuhunt.")


def test_json_is_the_whole_report(server, capsys):
    """Every number of the table, by name."""
    assert run(["catalog", "refresh", "gcp", "--dry-run", "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["dry_run"], report["published"]) == (True, False)
    assert report["sources"][0]["rows"] == {"gcp": 1}
    assert report["clouds"][0]["added"] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["refresh", "mars"], "no cloud 'mars' can be refreshed"),
        (["refresh", "--source", "x"], "no source 'x' can be refreshed"),
        (["doctor", "mars"], "the catalog has no cloud 'mars'"),
        (["doctor", "--reason", "dull"], "no reason is called 'dull'"),
    ],
)
def test_wrong_names(server, capsys, line, said):
    """One line that says what there is."""
    assert run(["catalog", *line]) == 1
    assert said in capsys.readouterr().err


def test_interrupting_says_how_to_go_on(server, capsys, monkeypatch):
    """Exit code 130, and nothing changed."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("skynb_catalog.refresh.run.fetch_all", interrupted)
    assert run(["catalog", "refresh", "gcp"]) == 130
    assert "The old catalog stays" in capsys.readouterr().err


def test_progress_is_drawn_where_somebody_looks(server, monkeypatch, capsys):
    """On a terminal, a line a source is drawn over; elsewhere nothing is."""
    run(["catalog", "refresh", "gcp", "--source", "gpuhunt"])
    assert "\x1b" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run(["catalog", "refresh", "gcp", "--source", "gpuhunt"])
    drawn = capsys.readouterr().err
    assert "\x1b[1F\x1b[Kgpuhunt" in drawn
    assert "landed" in drawn.rpartition("\x1b[K")[2]


def test_doctor_shows_what_is_in_force_and_what_was_set_aside(server, capsys):
    """Shipped first, then refreshed with its sources; doubtful rows by reason, with examples."""
    assert run(["catalog", "doctor"]) == 0
    said = capsys.readouterr().out
    assert "In force: the shipped catalog of 2026-01-01, 4 rows" in said
    assert "price zero or negative" in said
    assert "m.odd aws/us-east-1 $5e-06 spot $9e-06" in said
    assert "Source lambda* waits: set LAMBDA_API_KEY" in said
    run(["catalog", "refresh", "gcp"])
    capsys.readouterr()
    assert run(["catalog", "doctor", "gcp"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("gcp"))
    assert line.split()[-1] == "gpuhunt"
    assert "2026-11-20 .. 2026-11-20" in line


def test_doctor_tells_which_source_serves_a_cloud(server, capsys, monkeypatch):
    """Those that wait for a key have a star and a line that says which; a cloud without rows is shown too."""
    monkeypatch.delenv("GCP_BILLING_API_KEY", raising=False)
    assert run(["catalog", "doctor", "gcp", "vast"]) == 0
    lines = capsys.readouterr().out.splitlines()
    columns = {line.split()[0]: " ".join(line.split()) for line in lines if line.startswith(("gcp", "vast"))}
    assert columns["gcp"].endswith("gpuhunt, gcp-skus* -")
    assert columns["vast"].startswith("vast 0 0 - ")
    assert columns["vast"].endswith(" vast -")
    assert [line for line in lines if "waits" in line] == ["Source gcp-skus* waits: set GCP_BILLING_API_KEY."]
    monkeypatch.setenv("GCP_BILLING_API_KEY", "very-secret")
    gcp = client.doctor("gcp").to_dict()["clouds"][0]
    assert (gcp["served_by"], gcp["waiting"]) == (("gpuhunt", "gcp-skus"), ())
    assert "secret" not in str(client.doctor())


def test_doctor_gives_every_row_as_json(server, capsys):
    """Filtered by reason and cloud."""
    assert run(["catalog", "doctor", "aws", "--reason", "spot", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["instance_type"] for row in found["aside"]] == ["m.odd"]
    assert [cloud["cloud"] for cloud in found["clouds"]] == ["aws"]


def test_doctor_tells_what_is_broken(server, capsys, tmp_path, monkeypatch):
    """A damaged edition and a folder that cannot be written, each with the mend."""
    run(["catalog", "refresh", "gcp"])
    (tmp_path / "cache" / "editions" / "current").write_text("nonsense")
    assert "pointer is damaged" in client.doctor().to_text()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKYNB_CACHE_DIR", str(tmp_path / "file"))
    assert "set SKYNB_CACHE_DIR" in client.doctor().to_text()


def test_results_show_in_notebooks(server):
    """HTML with every cell escaped, and text."""
    found = client.refresh("gcp")
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == str(found)
    assert bundle["text/html"].count("<table>") == 2
    assert "accelerator &#x27;Z9&#x27; is not known" in bundle["text/html"]
    assert found.ok
    with pytest.raises(SkynbError, match="mars"):
        client.refresh("mars")
