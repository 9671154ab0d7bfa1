"""The provider: EC2 instances that bear their owner's tags from the first moment, and leave nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from skynb.errors import AuthError, ProviderError, SkynbError, SpecError
from skynb_clusters.contract import (
    Capabilities,
    Check,
    Listing,
    Machine,
    NodeRequest,
    Provider,
    SshEntry,
    Transport,
)
from skynb_clusters.providers.aws import machines
from skynb_clusters.providers.aws.checks import checks
from skynb_clusters.providers.aws.clients import Clients
from skynb_clusters.providers.aws.images import Images
from skynb_clusters.providers.aws.keys import key_file, public_key
from skynb_clusters.providers.aws.network import Network, Site
from skynb_clusters.providers.aws.refusals import code_of, told
from skynb_clusters.providers.aws.regions import Regions
from skynb_clusters.settings import AwsSettings, section
from skynb_clusters.transports.known_hosts import KnownHosts

KNOWN_HOSTS = "known_hosts"
_WATCH = Path(__file__).with_name("watch_notices.py")
_OFF = (
    'PATH="$PATH:/usr/sbin:/sbin"; [ "$(id -u)" = 0 ] || exec sudo -n shutdown -h now; exec shutdown -h now'
)


class AwsProvider(Provider):
    """EC2, with the credentials that boto3 finds where the server runs. Keeps its SSH key in `folder`."""

    name = "aws"
    capabilities = Capabilities(
        stop=True,
        spot=True,
        ports=True,
        guest_shutdown_stops_billing=True,
        consistency_s=30.0,
        whole=True,
        images=True,
        disk_tiers=True,
        notice_s=120.0,
        list_every_s=1.0,
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._book = KnownHosts(folder / KNOWN_HOSTS)
        self._begun: _Parts | None = None

    def check(self) -> Sequence[Check]:
        try:
            self._settings()
            parts = self._parts()
        except SkynbError as error:
            return (Check(infra="aws", ok=False, detail=error.what, mend=error.mend or ""),)
        return checks(parts.clients, parts.images)

    def create(self, request: NodeRequest) -> Machine:
        parts, settings = self._parts(), self._settings()
        region = request.region or parts.clients.region()
        image = parts.images.choose(request, region)
        site = parts.network.site(settings, region, request.zone)
        if request.ports:
            tags = machines.all_tags(request, settings)
            opened = parts.network.ports_group(region, site.vpc, tags, request.ports)
            site = Site(site.vpc, site.subnet, (*site.groups, opened))
        asked = machines.parameters(request, settings, image, site, public_key(self._folder))
        return self._run(parts, region, request, asked)

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        wanted = {f"tag:{key}": value for key, value in (*tags.items(), machines.MARK)}
        return self._look(wanted, region)

    def strangers(self) -> Listing:
        seen = self._look({}, None)
        key, value = machines.MARK
        return Listing(tuple(one for one in seen.machines if one.tags.get(key) != value), seen.blind)

    def _look(self, wanted: Mapping[str, str], region: str | None) -> Listing:
        parts, internal = self._parts(), self._settings().use_internal_ips

        def look(place: str) -> tuple[Machine, ...]:
            found = parts.regions.instances(place, wanted)
            return tuple(machines.machine(instance, place, internal=internal) for instance in found)

        if region is not None:
            return Listing(look(region))
        seen, blind = parts.regions.everywhere(look)
        return Listing(tuple(machine for some in seen for machine in some), blind)

    def start(self, machine: Machine) -> None:
        region = self._region(machine)
        with told(f"starting {machine.id} in {region}"):
            self._parts().clients.ec2(region).start_instances(InstanceIds=[machine.id])

    def stop(self, machine: Machine) -> None:
        from botocore.exceptions import ClientError

        region = self._region(machine)
        with told(f"stopping {machine.id} in {region}"):
            try:
                self._parts().clients.ec2(region).stop_instances(InstanceIds=[machine.id])
            except ClientError as error:
                if code_of(error) != "UnsupportedOperation":
                    raise
                what = f"{machine.id} cannot be stopped: a spot machine has no way back"
                raise ProviderError(what, mend="Take it down instead", retryable="no") from None

    def terminate(self, machine: Machine) -> None:
        from botocore.exceptions import ClientError

        parts = self._parts()
        region = machine.place or self._place(machine)
        if not region:
            return
        with suppress(ProviderError, AuthError):  # a closed door is no reason to leave the machine running
            parts.network.release(region, machine.id)
        with told(f"ending {machine.id} in {region}"):
            try:
                parts.clients.ec2(region).terminate_instances(InstanceIds=[machine.id])
            except ClientError as error:
                if not code_of(error).startswith("InvalidInstanceID"):
                    raise
        self._book.forget(machine.id)

    def transport(self, machine: Machine) -> Transport:
        from skynb_clusters.transports.ssh import SshTransport

        user = self._settings().ssh_user
        return SshTransport(
            self._entry(machine, user),
            alias=machine.id,
            book=self._book,
            root=machines.agent_root(user),
            home=machines.home_of(user),
        )

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        """What EC2 makes of it was said at creation; it needs no credentials on the machine."""
        return ["/bin/sh", "-c", _OFF]

    def notice_command(self, machine: Machine) -> Sequence[str]:
        return ["python3", "-c", _WATCH.read_text()] if machine.spot else ()

    def set_on_shutdown(self, machine: Machine, mode: Literal["stop", "terminate"]) -> None:
        if machine.spot:
            return  # it always terminates
        region = self._region(machine)
        with told(f"changing {machine.id} in {region}"):
            self._parts().clients.ec2(region).modify_instance_attribute(
                InstanceId=machine.id, Attribute="instanceInitiatedShutdownBehavior", Value=mode
            )

    def open_ports(self, machine: Machine, ports: Sequence[str]) -> None:
        network, region = self._parts().network, self._region(machine)
        found = self._parts().regions.instances(region, {"instance-id": machine.id})
        if not found:
            raise ProviderError(f"{machine.id} is not in {region}, or not seen yet", retryable="unknown")
        tags = {tag["Key"]: tag["Value"] for tag in found[0].get("Tags", [])}
        group = network.ports_group(region, found[0]["VpcId"], tags, ports)
        network.attach(region, machine.id, group)

    def ssh(self, machine: Machine) -> SshEntry | None:
        return self._entry(machine, self._settings().ssh_user)

    def _run(self, parts: _Parts, region: str, request: NodeRequest, asked: Mapping[str, Any]) -> Machine:
        """RunInstances; where EC2 says that this token made a machine with other parameters, that machine."""
        from botocore.exceptions import ClientError

        internal = self._settings().use_internal_ips
        kind = f"a spot {request.instance_type}" if request.spot else request.instance_type
        with told(f"creating {kind} in {request.zone or region}"):
            try:
                made = parts.clients.ec2(region).run_instances(**asked)["Instances"][0]
            except ClientError as error:
                code = code_of(error)
                if code.startswith("InvalidGroup"):
                    parts.network.forget(region)
                found: Sequence[Mapping[str, Any]] = ()
                if code == "IdempotentParameterMismatch":
                    found = parts.regions.instances(region, {"client-token": request.token})
                if not found:
                    raise
                made = found[0]
        return machines.machine(made, region, internal=internal)

    def _entry(self, machine: Machine, user: str) -> SshEntry:
        return SshEntry(
            host=machine.reach or machine.address,
            user=user,
            key_file=str(key_file(self._folder)),
            known_hosts=str(self._folder / KNOWN_HOSTS),
        )

    def _region(self, machine: Machine) -> str:
        region = machine.place or self._place(machine)
        if not region:
            raise ProviderError(f"{machine.id} is in no region, or not seen yet", retryable="unknown")
        return region

    def _place(self, machine: Machine) -> str:
        """The region of a machine of which only the id is known; empty where it is in none.

        Raises where some region could not be seen: it may be there.
        """
        regions = self._parts().regions

        def look(region: str) -> str:
            return region if regions.instances(region, {"instance-id": machine.id}) else ""

        seen, blind = regions.everywhere(look)
        place = next(filter(None, seen), "")
        if blind and not place:
            raise ProviderError(f"{machine.id} is not in the regions that can be seen", retryable="unknown")
        return place

    def _settings(self) -> AwsSettings:
        try:
            return section(self._folder.parent, "aws", AwsSettings)
        except SpecError as error:
            what = f"{error.where}: {error.what}" if error.where else error.what
            raise ProviderError(what, mend=error.mend, retryable="no", disproves="cloud") from None

    def _parts(self) -> _Parts:
        if self._begun is None:
            self._begun = _Parts(Clients(self._settings().profile))
        return self._begun


class _Parts:
    """What works with one set of credentials."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.images = Images(clients)
        self.network = Network(clients)
        self.regions = Regions(clients)
