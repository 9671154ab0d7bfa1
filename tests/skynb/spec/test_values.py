"""How sizes, durations, places and accelerators are written."""

import pytest

from skynb.errors import SpecError
from skynb.spec import Infra, Quantity, Resources
from skynb.spec.values import minutes, seconds, size_gb


@pytest.mark.parametrize(
    ("written", "cloud", "region", "zone", "printed"),
    [
        ("aws", "aws", None, None, "aws"),
        ("AWS/us-east-1", "aws", "us-east-1", None, "aws/us-east-1"),
        ("/aws/us-east-1/us-east-1a/", "aws", "us-east-1", "us-east-1a", "aws/us-east-1/us-east-1a"),
        ("aws/*/us-east-1a", "aws", None, "us-east-1a", "aws/*/us-east-1a"),
        ("*/us-east-1", None, "us-east-1", None, "*/us-east-1"),
        ("aws/*/*", "aws", None, None, "aws"),
        ("*", None, None, None, "*"),
        ("k8s", "kubernetes", None, None, "kubernetes"),
        ("k8s/arn:aws:eks/a/b/c", "kubernetes", "arn:aws:eks/a/b/c", None, "kubernetes/arn:aws:eks/a/b/c"),
        ("ssh/lab", "ssh", "ssh-lab", None, "ssh/lab"),
        ("slurm/main/gpu", "slurm", "main", "gpu", "slurm/main/gpu"),
        ("sim/aws/us-east-1/b", "sim/aws", "us-east-1", "b", "sim/aws/us-east-1/b"),
        ("local", "local", None, None, "local"),
    ],
)
def test_infra(written, cloud, region, zone, printed):
    """Each form gives its parts, prints canonically, and reads back the same."""
    infra = Infra.parse(written, "infra")
    assert (infra.cloud, infra.region, infra.zone) == (cloud, region, zone)
    assert str(infra) == printed
    assert Infra.parse(printed, "infra") == infra


@pytest.mark.parametrize(
    ("written", "printed", "name", "count", "maker", "memory", "at_least"),
    [
        ("A100", "A100:1", "A100", 1, None, None, False),
        ("A100-80GB:8", "A100-80GB:8", "A100-80GB", 8, None, None, False),
        ("T4:0.5", "T4:0.5", "T4", 0.5, None, None, False),
        ("80GB+:2", "80GB+:2", None, 2, None, 80, True),
        ("16gb", "16GB:1", None, 1, None, 16, False),
        ("512MB", "512MB:1", None, 1, None, 0.5, False),
        ("NVIDIA:80GB:4", "nvidia:80GB:4", None, 4, "nvidia", 80, False),
        ("nvidia:1TB+", "nvidia:1024GB+:1", None, 1, "nvidia", 1024, True),
    ],
)
def test_accelerator(written, printed, name, count, maker, memory, at_least):
    """Names and memory sizes are told apart, and the canonical spelling means the same."""
    (got,) = Resources(accelerators=written).accelerators
    assert str(got) == printed
    assert (got.name, got.count, got.manufacturer, got.memory_gb, got.memory_at_least) == (
        name,
        count,
        maker,
        memory,
        at_least,
    )
    assert Resources(accelerators=printed).accelerators == (got,)


@pytest.mark.parametrize(
    ("written", "printed", "ordered"),
    [
        ({"A100": 8, "H100": None}, ["A100:8", "H100:1"], False),
        ({"A100:8": None, "A100:4": None}, ["A100:8", "A100:4"], False),
        ({"A100:8", "H100"}, ["A100:8", "H100:1"], False),
        (["H100:8", "A100:8"], ["H100:8", "A100:8"], True),
        (["H100:8", "H100:8"], ["H100:8"], False),
    ],
)
def test_accelerator_alternatives(written, printed, ordered):
    """A list is an order of preference; maps and sets are not; a map's empty count is 1."""
    resources = Resources(accelerators=written)
    assert [str(item) for item in resources.accelerators] == printed
    assert resources.accelerators_ordered is ordered
    assert Resources.from_yaml_config(resources.to_yaml_config()) == resources


@pytest.mark.parametrize(
    ("field", "written", "expected"),
    [
        ("cpus", 4, Quantity(4)),
        ("cpus", "4+", Quantity(4, at_least=True)),
        ("cpus", " 0.5 ", Quantity(0.5)),
        ("memory", "16", Quantity(16)),
        ("memory", "16gb+", Quantity(16, at_least=True)),
        ("memory", "1ti", Quantity(1024)),
        ("memory", "512MB", Quantity(0.5)),
        ("memory", "4x", Quantity(4, per_cpu=True)),
    ],
)
def test_quantities(field, written, expected):
    """Amounts of vCPUs and GB, exactly or at least; kb and ki are both powers of two."""
    assert getattr(Resources(**{field: written}), field) == expected


@pytest.mark.parametrize(
    ("parse", "written", "expected"),
    [
        (size_gb, 256, 256),
        (size_gb, "1TB", 1024),
        (size_gb, "2048Mb", 2),
        (size_gb, "10Gi", 10),
        (minutes, 10, 10),
        (minutes, "10", 10),
        (minutes, "2H", 120),
        (minutes, "1d", 1440),
        (minutes, "1w", 10080),
        (seconds, "10", 10),
        (seconds, "5m", 300),
        (seconds, "30S", 30),
    ],
)
def test_sizes_and_durations(parse, written, expected):
    """Units, in any case, and the unit that none means."""
    assert parse(written, "x") == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [(80, ("80",)), ("1-3", ("1-3",)), ([80, "80", "8080"], ("80", "8080")), ("5-5", ("5",))],
)
def test_ports(written, expected):
    """Ports come out as text, each once."""
    assert Resources(ports=written).ports == expected


@pytest.mark.parametrize(
    ("written", "idle", "down"),
    [(True, 0, False), (5, 5, False), ("2h", 120, False), ({"down": True}, 0, True)],
)
def test_autostop(written, idle, down):
    """Every form of autostop means minutes and a verb."""
    autostop = Resources(autostop=written).autostop
    assert (autostop.idle_minutes, autostop.down, autostop.wait_for) == (idle, down, "jobs_and_ssh")


@pytest.mark.parametrize("written", [False, -1])
def test_autostop_switched_off(written):
    """False and negative minutes switch it off, which is not the same as saying nothing."""
    resources = Resources(autostop=written)
    assert resources.autostop is None
    assert resources.to_yaml_config() == {"autostop": False}


def test_local_disk_and_images():
    """Shorthands of local disks are written out; an image of any region is under None."""
    assert [Resources(local_disk=text).local_disk for text in ("nvme", "1000+", "SSD:5")] == [
        "nvme:100+",
        "nvme:1000+",
        "ssd:5",
    ]
    assert Resources(image_id={None: "a", "r": "b"}).image_id == {None: "a", "r": "b"}


def test_values_cannot_be_changed():
    """A parsed object that somebody holds never changes under them."""
    resources = Resources(labels={"a": "b"}, cpus=4)
    with pytest.raises(AttributeError):
        resources.cpus = 5
    with pytest.raises(TypeError):
        resources.labels["c"] = "d"
    with pytest.raises(AttributeError):
        resources.infra.cloud = "x"
    with pytest.raises(SpecError):
        resources.copy(cpus="x")
    assert resources.copy(cpus=8, labels=None).to_yaml_config() == {"cpus": 8}
