"""Requests of the shipped catalog, each answered by hand from public list prices.

Sums are written out, in micro-dollars, so that a reader can follow them; nothing here asks the planner or the
catalog. Prices that anybody can check: p4d.24xlarge $21.96 an hour (since the cut of June 2025), p5.48xlarge
$55.04, g4dn.xlarge $0.526, m5.2xlarge $0.384, n2-standard-8 $0.388, Standard_NC24ads_A100_v4 $3.673.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A request and its answer.

    says: what it shows. task: SkyPilot's YAML. equal: the machines and places that cost the same and least,
    the choice first. cost: micro-dollars in all. terms: `offers.yaml`. options: those of `plan`.
    """

    says: str
    task: str
    equal: dict[str, tuple[str, ...]]
    cost: int
    terms: str = ""
    options: dict[str, object] = {}  # noqa: RUF012 - read only
    hint: bool = False


def zones(prefix: str, last: str) -> tuple[str, ...]:
    """`zones("aws/us-east-1/use1-az", "124")` are three places."""
    return tuple(f"{prefix}{one}" for one in last)


def regions(cloud: str, names: str) -> tuple[str, ...]:
    """`regions("azure", "eastus westus2")` are two places."""
    return tuple(f"{cloud}/{name}" for name in names.split())


USE1_P4D = zones("aws/us-east-1/use1-az", "1246")
USE1_P5 = zones("aws/us-east-1/use1-az", "123456")
USE1_G = zones("aws/us-east-1/use1-az", "12456")
USE2 = zones("aws/us-east-2/use2-az", "123")
USW2 = zones("aws/us-west-2/usw2-az", "1234")
LAMBDA = regions(
    "lambda",
    "asia-northeast-1 asia-northeast-2 asia-south-1 australia-east-1 europe-central-1 europe-south-1 "
    "me-west-1 us-east-1 us-east-2 us-east-3 us-midwest-1 us-south-1 us-south-2 us-south-3 us-west-1 "
    "us-west-2 us-west-3",
)
P5 = "infra: aws/us-east-1, instance_type: p5.48xlarge"

ACCELERATORS = [
    Case(
        "3 nodes x 2 h x $12.24/h = $73.44: p3.8xlarge is the only V100:4 of us-east-1",
        "{num_nodes: 3, resources: {accelerators: 'V100:4', infra: aws/us-east-1}}",
        {"p3.8xlarge": ("aws/us-east-1",)},
        3 * 2 * 12_240_000,
        options={"hours": 2},
    ),
    Case(
        "p4d.24xlarge: $21.95764 in us-east-2 and us-west-2 is 2 micro-dollars less than us-east-1's price",
        "{resources: {accelerators: 'A100:8', infra: aws}}",
        {"p4d.24xlarge": (*USE2, *USW2)},
        21_957_640,
    ),
    Case(
        "p4d.24xlarge in us-east-1, $21.957642 in each of its four zones; 12 h = $263.491704",
        "{resources: {accelerators: 'A100:8', infra: aws/us-east-1}}",
        {"p4d.24xlarge": USE1_P4D},
        12 * 21_957_642,
        options={"hours": 12},
    ),
    Case(
        "One AZ id: 2 nodes x $21.957642 = $43.915284",
        "{num_nodes: 2, resources: {accelerators: 'a100:8', infra: aws/us-east-1/use1-az4}}",
        {"p4d.24xlarge": ("aws/us-east-1/use1-az4",)},
        2 * 21_957_642,
    ),
    Case(
        "A zone by the account's own name: which AZ id it is nobody here knows, so it stands as it was asked",
        "{resources: {accelerators: 'A100:8', infra: aws/us-east-1/us-east-1a}}",
        {"p4d.24xlarge": ("aws/us-east-1/us-east-1a",)},
        21_957_642,
    ),
    Case(
        "p5.48xlarge: 4 nodes x 24 h x $55.04/h = $5,283.84, in all zones of three regions alike",
        "{num_nodes: 4, resources: {accelerators: 'H100:8', infra: aws}}",
        {"p5.48xlarge": (*USE1_P5, *USE2, *USW2)},
        4 * 24 * 55_040_000,
        options={"hours": 24},
    ),
    Case(
        "T4 anywhere: aws g4dn.xlarge and azure NC4as are $0.526 both, gcp's n1-standard-4 with a T4 $0.54",
        "{resources: {accelerators: T4}}",
        {
            "g4dn.xlarge": (*USE1_G, *zones("aws/us-west-2/usw2-az", "123")),
            "Standard_NC4as_T4_v3": regions("azure", "eastus eastus2 northcentralus westus2 westus3"),
        },
        526_000,
    ),
    Case(
        "gcp N1 with a T4: n1-standard-4 $0.189999 + $0.35 = $0.539999; 10 h = $5.39999",
        "{resources: {accelerators: 'T4:1', infra: gcp}}",
        {"n1-standard-4+1xT4": ("gcp/us-central1",)},
        10 * 539_999,
        options={"hours": 10},
    ),
    Case(
        "H100:1 anywhere: hyperbolic $1.29, before seeweb $1.89 and hyperstack $1.90; vast is $1.87, a hint",
        "{resources: {accelerators: 'H100:1'}}",
        {"1x-H100-75-722": ("hyperbolic/default",)},
        1_290_000,
    ),
    Case(
        "H100:8 anywhere: hyperstack 8 x $1.90 = $15.20, before its NVLink variant at $15.60",
        "{resources: {accelerators: 'H100:8'}}",
        {"n3-H100x8": ("hyperstack/CANADA-1",)},
        8 * 1_900_000,
    ),
    Case(
        "A100-80GB:1 on azure: NC24ads_A100_v4 at $3.673 in four regions, 8 h = $29.384",
        "{resources: {accelerators: A100-80GB, infra: azure}}",
        {"Standard_NC24ads_A100_v4": regions("azure", "eastus eastus2 westus2 westus3")},
        8 * 3_673_000,
        options={"hours": 8},
    ),
    Case(
        "A100-80GB:4 in eastus has the later of two prices, $19.108",
        "{resources: {accelerators: 'A100-80GB:4', infra: azure/eastus}}",
        {"Standard_NC96ads_A100_v4": ("azure/eastus",)},
        19_108_000,
    ),
    Case(
        "GH200 is arm64 and asks for no label: lambda $1.49 in all its regions; 2 nodes = $2.98",
        "{num_nodes: 2, resources: {accelerators: GH200}}",
        {"gpu_1x_gh200": LAMBDA},
        2 * 1_490_000,
    ),
    Case(
        "lambda's A100 in two forms at $1.29 each",
        "{resources: {accelerators: 'A100:1', infra: lambda/us-east-1}}",
        {"gpu_1x_a100": ("lambda/us-east-1",), "gpu_1x_a100_sxm4": ("lambda/us-east-1",)},
        1_290_000,
    ),
    Case(
        "lambda's H100: PCIe $3.29 before SXM $4.29; 3 h = $9.87",
        "{resources: {accelerators: 'H100-PCIe:1', infra: lambda/us-west-1}}",
        {"gpu_1x_h100_pcie": ("lambda/us-west-1",)},
        3 * 3_290_000,
        options={"hours": 3},
    ),
    Case(
        "MI300X:8 is $48 at azure and, wherever oci has it, there",
        "{resources: {accelerators: 'MI300X:8'}}",
        {"Standard_ND96isr_MI300X_v5": regions("azure", "eastus2 westus3"), "BM.GPU.MI300X.8": ("oci",)},
        48_000_000,
    ),
    Case(
        "oci has one price for all regions: 8 x $3.05 = $24.40, placed where the task wants it",
        "{resources: {accelerators: 'A100:8', infra: oci/us-ashburn-1}}",
        {"BM.GPU4.8": ("oci/us-ashburn-1",)},
        8 * 3_050_000,
    ),
    Case(
        "nebius H200: 2 nodes x 5 h x $3.50/h = $35 in three regions",
        "{num_nodes: 2, resources: {accelerators: 'H200:1', infra: nebius}}",
        {"gpu-h200-sxm_1gpu-16vcpu-200gb": regions("nebius", "eu-north1 eu-west1 us-central1")},
        2 * 5 * 3_500_000,
        options={"hours": 5},
    ),
    Case(
        "seeweb H200:8: 8 x $2.60 = $20.80, no region published",
        "{resources: {accelerators: 'H200:8'}}",
        {"ECS8GPU10": ("seeweb",)},
        8 * 2_600_000,
    ),
    Case(
        "fluidstack L40:8: 8 x $1.25 = $10",
        "{resources: {accelerators: 'L40:8', infra: fluidstack}}",
        {"L40_48GB::8": ("fluidstack/CANADA",)},
        8 * 1_250_000,
    ),
    Case(
        "paperspace, whose region has spaces and brackets: A4000 at $0.76",
        "{resources: {accelerators: 'RTXA4000:1', infra: paperspace}}",
        {"A4000": ("paperspace/East Coast (NY2)",)},
        760_000,
    ),
    Case(
        "do H100:8 in Toronto: 8 x $5.95 = $47.60",
        "{resources: {accelerators: 'H100:8', infra: do}}",
        {"gpu-h100x8-640gb": ("do/tor1",)},
        8 * 5_950_000,
    ),
    Case(
        "ibm V100 in us-south: $2.497 in each zone; 2 nodes x 3 h = $14.982",
        "{num_nodes: 2, resources: {accelerators: V100, infra: ibm/us-south}}",
        {"gx2-8x64x1v100": zones("ibm/us-south/us-south-", "123")},
        2 * 3 * 2_497_000,
        options={"hours": 3},
    ),
    Case(
        "verda's V100 at $0.1381 is real and dated by nobody; it is a cloud, not a marketplace, so it leads",
        "{resources: {accelerators: 'V100:1'}}",
        {"1V100.6V": ("verda/FIN-01",)},
        138_100,
    ),
    Case(
        "hyperstack A6000:4: 4 x $0.50 = $2, before seeweb at $2.96 and lambda at $3.20",
        "{resources: {accelerators: 'A6000:4'}}",
        {"n3-RTX-A6000x4": ("hyperstack/CANADA-1",)},
        4 * 500_000,
    ),
    Case(
        "A TPU slice is one accelerator: v6e-8 is 8 chips x $2.70 = $21.60 in three zones of us-east5",
        "{resources: {accelerators: tpu-v6e-8, infra: gcp/us-east5}}",
        {"tpu-v6e-8": zones("gcp/us-east5/us-east5-", "abc")},
        8 * 2_700_000,
    ),
    Case(
        "TPU v5p-8 is 4 chips x $4.20 = $16.80; 2 slices x 6 h = $201.60",
        "{num_nodes: 2, resources: {accelerators: 'tpu-v5p-8:1'}}",
        {"tpu-v5p-8": regions("gcp", "us-east1 us-east5")},
        2 * 6 * 4 * 4_200_000,
        options={"hours": 6},
    ),
    Case(
        "TPU v5e by its other name: 4 chips x $1.20 = $4.80",
        "{resources: {accelerators: tpu-v5e-4}}",
        {"tpu-v5litepod-4": regions("gcp", "us-central1 us-east5 us-west1 us-west4")},
        4 * 1_200_000,
    ),
    Case(
        "A third of an A10: azure NV12ads at $0.908",
        "{resources: {accelerators: 'A10:0.33'}}",
        {"Standard_NV12ads_A10_v5": regions("azure", "eastus eastus2 westus2 westus3")},
        908_000,
    ),
    Case(
        "Half an L4: aws g6f.4xlarge at $0.95, not its larger sister gr6f.4xlarge at $1.066",
        "{resources: {accelerators: 'L4:0.5'}}",
        {"g6f.4xlarge": USE1_P4D},
        950_000,
    ),
    Case(
        "An eighth of an L4 with 4 vCPUs: g6f.xlarge at $0.2375, since g6f.large ($0.202) has 2",
        "{resources: {accelerators: 'L4:0.125', cpus: 4+}}",
        {"g6f.xlarge": USE1_P4D},
        237_500,
    ),
    Case(
        "Half an RTX PRO 6000 by SkyPilot's spelling: g4-standard-24 at $2.249965",
        "{resources: {accelerators: 'RTXPRO6000:0.5'}}",
        {"g4-standard-24": regions("gcp", "us-central1 us-east1 us-south1")},
        2_249_965,
    ),
    Case(
        "Inferentia2:1: inf2.xlarge at $0.7582; 100 h = $75.82",
        "{resources: {accelerators: Inferentia2}}",
        {
            "inf2.xlarge": (*zones("aws/us-east-1/use1-az", "2456"), *USW2),
        },
        100 * 758_200,
        options={"hours": 100},
    ),
    Case(
        "GPUs of 80 GB, eight of them, on aws: p4de.24xlarge (A100-80GB, $27.44705) before p5 (H100, $55.04)",
        "{resources: {accelerators: '80GB:8', infra: aws}}",
        {"p4de.24xlarge": (*zones("aws/us-east-1/use1-az", "46"), *zones("aws/us-west-2/usw2-az", "123"))},
        27_447_050,
    ),
    Case(
        "GPUs of 24 GB: seeweb's RTX 6000 and A30 are $0.29 both, before its L4 at $0.38",
        "{resources: {accelerators: '24GB:1'}}",
        {"ECS1GPU": ("seeweb/it-fr2",), "ECS1GPU11": ("seeweb/it-fr2",)},
        290_000,
    ),
]

SIZES = [
    Case(
        "Nothing asked means 8+ vCPUs with 4+ GiB each: verda $0.0558 in three regions",
        "{}",
        {"CPU.8V.32G": regions("verda", "FIN-01 FIN-02 FIN-03")},
        55_800,
    ),
    Case(
        "arm64 by the label: azure B8ps_v2 at $0.179, 0.2 cents below aws's t4g.2xlarge; 1,000 h = $179",
        "{resources: {labels: {kubernetes.io/arch: arm64}}}",
        {"Standard_B8ps_v2": regions("azure", "jioindiacentral jioindiawest")},
        1000 * 179_000,
        options={"hours": 1000},
    ),
    Case(
        "2 vCPUs with 8 GiB in us-east-1: t3a.large at $0.0752, since the cheaper t4g.large is arm64",
        "{resources: {cpus: 2, memory: 8, infra: aws/us-east-1}}",
        {"t3a.large": USE1_G},
        75_200,
    ),
    Case(
        "4 vCPUs with 8 GiB each: r6a.xlarge at $0.2736 in Frankfurt, 40 cents a 1,000 h below r5a",
        "{resources: {cpus: 4, memory: 8x, infra: aws/eu-central-1}}",
        {"r6a.xlarge": zones("aws/eu-central-1/euc1-az", "123")},
        273_600,
    ),
    Case(
        "64+ vCPUs and 512+ GiB on gcp: n2d-highmem-64 in Mumbai at $2.40736",
        "{resources: {cpus: 64+, memory: 512+, infra: gcp}}",
        {"n2d-highmem-64": ("gcp/asia-south1",)},
        2_407_360,
    ),
    Case(
        "32 vCPUs, any memory: e2-highcpu-32 at $0.871409; 10 nodes x 0.5 h = $4.357045",
        "{num_nodes: 10, resources: {cpus: 32, infra: gcp/europe-west4}}",
        {"e2-highcpu-32": ("gcp/europe-west4",)},
        10 * 871_409 // 2,
        options={"hours": 0.5},
    ),
    Case(
        "An instance type alone: m5.2xlarge at $0.384, 5 zones",
        "{resources: {instance_type: m5.2xlarge, infra: aws/us-east-1}}",
        {"m5.2xlarge": USE1_G},
        384_000,
    ),
    Case(
        "n2-standard-8 is $0.388472 in four regions of the United States",
        "{resources: {instance_type: n2-standard-8}}",
        {"n2-standard-8": regions("gcp", "us-central1 us-east1 us-east5 us-west1")},
        388_472,
    ),
    Case(
        "Standard_D8s_v5 in West Europe: $0.46, 7 nodes x 24 h = $77.28",
        "{num_nodes: 7, resources: {instance_type: Standard_D8s_v5, infra: azure/westeurope}}",
        {"Standard_D8s_v5": ("azure/westeurope",)},
        7 * 24 * 460_000,
        options={"hours": 24},
    ),
    Case(
        "One zone of ibm: bx2-8x32 at $0.384",
        "{resources: {cpus: 8, infra: ibm/us-south/us-south-2}}",
        {"bx2-8x32": ("ibm/us-south/us-south-2",)},
        384_000,
    ),
    Case(
        "1 TB of NVMe in us-east-1: i3.2xlarge (1,900 GB) at $0.624, before i4i.2xlarge (1,875 GB) at $0.686",
        "{resources: {local_disk: 'nvme:1000+', infra: aws/us-east-1}}",
        {"i3.2xlarge": USE1_P5},
        624_000,
    ),
    Case(
        "Eight A100-80GB of gcp come with 8 x 375 GiB = 3,000 GiB, which are 3,221 GB: 3,200 will do",
        "{resources: {accelerators: 'A100-80GB:8', local_disk: 'nvme:3200+', infra: gcp}}",
        {"a2-ultragpu-8g": ("gcp/us-central1",)},
        40_550_383,
    ),
]

CHOICES = [
    Case(
        "Spot H100 below $1: verda at $0.8015, not aws at $0.9494 in Jakarta; 10 h = $8.015",
        "{resources: {accelerators: H100, use_spot: true, max_hourly_cost: 1}}",
        {"1H100.80S.32V": ("verda/FIN-02",)},
        10 * 801_500,
        options={"hours": 10},
    ),
    Case(
        "p4d.24xlarge spot: Mumbai at $4.0815, 85 % off its $26.3444",
        "{resources: {instance_type: p4d.24xlarge, infra: aws, use_spot: true}}",
        {"p4d.24xlarge": ("aws/ap-south-1/aps1-az1",)},
        4_081_500,
    ),
    Case(
        "TPU v6e-8 spot in us-central1: $4.35366 in three zones",
        "{resources: {accelerators: tpu-v6e-8, infra: gcp/us-central1, use_spot: true}}",
        {"tpu-v6e-8": zones("gcp/us-central1/us-central1-", "abc")},
        4_353_660,
    ),
    Case(
        "any_of spot or not: nebius spot 8 x $1.25 = $10, on demand 8 x $2.95 = $23.60",
        "{resources: {accelerators: 'H100:8', infra: nebius, any_of: [{use_spot: false}, {use_spot: true}]}}",
        {"gpu-h100-sxm_8gpu-128vcpu-1600gb": ("nebius/eu-north1",)},
        8 * 1_250_000,
    ),
    Case(
        "any_of two clouds: aws $55.04 wins against gcp $88.49",
        "{resources: {accelerators: 'H100:8', any_of: [{infra: gcp}, {infra: aws/us-east-1}]}}",
        {"p5.48xlarge": USE1_P5},
        55_040_000,
    ),
    Case(
        "ordered, the same: gcp was named first, so its $88.49 it is",
        "{resources: {accelerators: 'H100:8', ordered: [{infra: gcp}, {infra: aws/us-east-1}]}}",
        {"a3-highgpu-8g": regions("gcp", "us-central1 us-west1")},
        88_490_000,
    ),
    Case(
        "ordered, the first too dear for the limit of $60: the second",
        "{resources: {accelerators: 'H100:8', max_hourly_cost: 60, ordered: [{infra: gcp}, "
        "{infra: aws/us-east-1}]}}",
        {"p5.48xlarge": USE1_P5},
        55_040_000,
    ),
    Case(
        "max_hourly_cost is a node's, to the cent: 4 x $0.526 is above $1, one is not",
        "{num_nodes: 4, resources: {accelerators: T4, infra: aws/us-east-1, max_hourly_cost: 0.526}}",
        {"g4dn.xlarge": USE1_G},
        4 * 526_000,
    ),
    Case(
        "Hours differ: A100:8 5 h x $21.957642 = $109.78821 beats H100:8 2 h x $55.04 = $110.08",
        "{resources: {infra: aws/us-east-1, accelerators: {'A100:8', 'H100:8'}}}",
        {"p4d.24xlarge": USE1_P4D},
        5 * 21_957_642,
        options={"hours": {"A100:8": 5, "H100:8": 2}},
    ),
    Case(
        "The same by a deadline of 3 h: only H100:8 makes it, $110.08",
        "{resources: {infra: aws/us-east-1, accelerators: {'A100:8', 'H100:8'}}}",
        {"p5.48xlarge": USE1_P5},
        2 * 55_040_000,
        options={"hours": {"A100:8": 5, "H100:8": 2}, "deadline_hours": 3},
    ),
    Case(
        "The same for the least time",
        "{resources: {infra: aws/us-east-1, accelerators: {'A100:8', 'H100:8'}}}",
        {"p5.48xlarge": USE1_P5},
        2 * 55_040_000,
        options={"hours": {"A100:8": 5, "H100:8": 2}, "minimize": "time"},
    ),
    Case(
        "A marketplace alone: vast's RTX 4090 at $0.40, undated and so a hint, in two countries",
        "{resources: {accelerators: RTX4090}}",
        {"1x-RTX_4090-32-65536": regions("vast", "DE US")},
        400_000,
        hint=True,
    ),
    Case(
        "An undated $1.87 of vast stands behind lambda's $3.29",
        "{resources: {accelerators: H100, any_of: [{infra: vast}, {infra: lambda/us-east-1}]}}",
        {"gpu_1x_h100_pcie": ("lambda/us-east-1",)},
        3_290_000,
    ),
    Case(
        "shadeform alone: $1.99 in Dallas",
        "{resources: {accelerators: H100, infra: shadeform}}",
        {"latitude_H100": ("shadeform/dallas-usa-1",)},
        1_990_000,
        hint=True,
    ),
    Case(
        "A reservation of 2 paid nodes, 3 asked: (2 x $0 + $55.04) / 3 = $18.346667 a node, rounded up",
        "{num_nodes: 3, resources: {accelerators: 'H100:8', infra: aws}}",
        {"p5.48xlarge": USE1_P5},
        3 * 18_346_667,
        terms=f"reservations: [{{name: ours, {P5}, nodes: 2}}]",
    ),
    Case(
        "A reservation is not for spot: of six zones' spot prices $14.246 is least, and is paid",
        "{resources: {accelerators: 'H100:8', infra: aws/us-east-1, use_spot: true}}",
        {"p5.48xlarge": ("aws/us-east-1/use1-az5",)},
        14_246_000,
        terms=f"reservations: [{{name: ours, {P5}}}]",
    ),
    Case(
        "50 % off p5 is $27.52 and beats lambda's $31.92",
        "{resources: {accelerators: 'H100:8', any_of: [{infra: aws/us-east-1}, {infra: lambda}]}}",
        {"p5.48xlarge": USE1_P5},
        55_040_000 // 2,
        terms="discounts: [{name: commit, infra: aws, instance_type: 'p5.*', percent: 50}]",
    ),
    Case(
        "40 % off p5 is $33.024 and does not: lambda's 8 x $3.99 = $31.92",
        "{resources: {accelerators: 'H100:8', any_of: [{infra: aws/us-east-1}, {infra: lambda/us-east-1}]}}",
        {"gpu_8x_h100_sxm5": ("lambda/us-east-1",)},
        8 * 3_990_000,
        terms="discounts: [{name: commit, infra: aws, instance_type: 'p5.*', percent: 40}]",
    ),
    Case(
        "A negotiated $0.35 for gcp's L4 beats seeweb's $0.38; the limit of $0.36 is about what is paid",
        "{resources: {accelerators: L4, cpus: 4, infra: gcp/us-central1, max_hourly_cost: 0.36}}",
        {"g2-standard-4": ("gcp/us-central1",)},
        350_000,
        terms="discounts: [{name: deal, infra: gcp, accelerator: L4, hourly_cost: 0.35}]",
    ),
    Case(
        "A machine of one's own at $0.10 an hour of power: 100 h = $10",
        "{resources: {accelerators: 'A100:8'}}",
        {"dgx": ("lab/cellar",)},
        100 * 100_000,
        terms="offers: [{infra: lab/cellar, instance_type: dgx, cpus: 256, memory: 1024, "
        "accelerators: 'A100:8', hourly_cost: 0.1}]",
        options={"hours": 100},
    ),
]

# One accelerator's list price, which nobody rents by that name: shown, never planned.
LIST_PRICES = [
    ("akash", "H100", {"per-gpu:H100-SXM5": 2_710_000}),
    ("coreweave", "H100", {"per-gpu:H100": 6_155_000}),
    ("crusoe", "A100-80GB", {"per-gpu:A100-PCIe-80GB": 1_650_000, "per-gpu:A100-SXM-80GB": 1_950_000}),
    ("jarvislabs", "H200", {"per-gpu:H200": 4_590_000}),
    ("runpod", "A100-80GB", {
        "per-gpu:A100-PCIe_COMMUNITY": 1_190_000,
        "per-gpu:A100-SXM_COMMUNITY": 1_390_000,
        "per-gpu:A100-PCIe_SECURE": 1_790_000,
        "per-gpu:A100-SXM_SECURE": 1_790_000,
    }),
    ("together", "H100", {"per-gpu:H100": 3_990_000}),
]  # fmt: skip
