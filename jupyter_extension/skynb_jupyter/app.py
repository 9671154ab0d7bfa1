"""SkynbApp: the server extension, and the plain server that carries it as the daemon.

Import it late: Jupyter Server is the heaviest thing in the house.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.filemanager import FileContentsManager
from tornado.ioloop import PeriodicCallback
from traitlets import Bool, Float, Int, Unicode, default
from traitlets.config import Config

from skynb import __version__
from skynb.control.ledger import Claim, Ledger
from skynb.control.reconciler import Kind
from skynb.control.secrets import write_private
from skynb.wire import API_VERSION, LeaseInfo, ServerInfo
from skynb_clusters.core import Core
from skynb_clusters.identity import server_id
from skynb_clusters.kinds import all_kinds
from skynb_clusters.providers import load_providers
from skynb_clusters.rebuild import Rebuilder
from skynb_clusters.requests import Desk
from skynb_jobs.deciders.line import Limits
from skynb_jobs.floor import managed_kinds
from skynb_jobs.line import Line
from skynb_jupyter.handlers import handlers
from skynb_jupyter.kernels.writer import SpecWriter
from skynb_jupyter.service import Service

HOME_CHECK_MS = 5000


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What the daemon loads."""
    return [{"module": "skynb_jupyter.app", "app": SkynbApp}]


class NoFiles(FileContentsManager):
    """Serves no files: this server is not for notebooks."""

    files_handler_class = None


class PlainServer(ServerApp):
    """A Jupyter server without Jupyter's services: no kernels, no contents, no terminals."""

    default_services = ()
    contents_manager_class = NoFiles

    @default("identity_provider_class")
    def _default_identity_provider_class(self) -> type[IdentityProvider]:
        return Owner


class Owner(IdentityProvider):
    """Whoever has the token of this home's server is the person whose home it is."""

    def generate_anonymous_user(self, handler: Any) -> User:
        name = getpass.getuser()
        return User(username=name, name=name)


class SkynbApp(ExtensionApp):
    """The API under /skynb/api/v1, and the control core behind it."""

    name = "skynb"
    extension_url = "/skynb"
    load_other_extensions = False
    open_browser = False
    serverapp_class = PlainServer

    home = Unicode(help="Folder of the ledger, logs and secrets. Default: $SKYNB_HOME or ~/.skynb.").tag(
        config=True
    )
    database_url = Unicode(
        help="SQLAlchemy URL of the ledger; PostgreSQL for a team. Default: SQLite in `home`."
    ).tag(config=True)
    presence_seconds = Float(
        600.0, help="A node that nobody uses ends itself after so many seconds without a server."
    ).tag(config=True)

    envelope_hours = Float(
        72.0, help="A node with running work ends itself after so many hours of it without a server."
    ).tag(config=True)

    jobs_at_once = Int(1000, min=1, help="So many managed jobs run at a time; others wait in line.").tag(
        config=True
    )
    jobs_per_user = Int(0, min=0, help="So many of one person's; 0 sets no limit.").tag(config=True)

    kernelspecs = Bool(True, help="Offer Jupyter a kernel on each cluster that is up.").tag(config=True)

    service: Service
    _line: Line
    _running: asyncio.Task[None] | None = None
    _watch: PeriodicCallback | None = None

    @default("home")
    def _default_home(self) -> str:
        return os.environ.get("SKYNB_HOME") or "~/.skynb"

    @default("database_url")
    def _default_database_url(self) -> str:
        return os.environ.get("SKYNB_DATABASE_URL") or f"sqlite:///{self._folder() / 'ledger.db'}"

    def _folder(self) -> Path:
        return Path(self.home).expanduser()

    def initialize_settings(self) -> None:
        """Open the ledger and make the core; nothing runs yet."""
        if type(self.serverapp) is not PlainServer:  # two cores must not share a ledger
            raise RuntimeError("skynb runs as its own server: `skynb server start`")
        folder = self._folder()
        owner = server_id(folder)
        claim = Claim(owner=owner, token=secrets.token_hex(8))
        lease = LeaseInfo(presence_s=self.presence_seconds, envelope_s=self.envelope_hours * 3600)

        def kinds(core: Core) -> list[Kind]:
            return [*all_kinds(core), *managed_kinds(core, lease)]

        core = Core(Ledger(self.database_url), folder, load_providers(folder), owner, claim, kinds)
        self._line = Line(core, Limits(running=self.jobs_at_once, per_user=self.jobs_per_user))
        desk = Desk(core, lease)
        info = ServerInfo(
            version=__version__,
            api_version=API_VERSION,
            pid=os.getpid(),
            home=str(folder),
            started_at=time.time(),
        )
        self.service = Service(core, desk, Rebuilder(core, lease), info)
        self.settings.update(skynb_service=self.service)

    def initialize_handlers(self) -> None:
        self.handlers.extend(handlers())

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Jupyter calls this once its loop runs and it listens: the core starts, and says where it is."""
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(self._core_ended)
        card = {
            "url": f"http://127.0.0.1:{serverapp.port}",
            "token": serverapp.identity_provider.token,
            **msgspec.to_builtins(self.service.info),
        }
        write_private(self._folder() / "server.json", msgspec.json.encode(card))
        self._watch = PeriodicCallback(self._look_home, HOME_CHECK_MS)
        self._watch.start()

    async def stop_extension(self) -> None:
        """Jupyter calls this on SIGTERM and on shutdown."""
        if self._watch is not None:
            self._watch.stop()
        (self._folder() / "server.json").unlink(missing_ok=True)
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        """The core, and with it the line of managed jobs and the kernelspecs of clusters."""
        beside = [asyncio.create_task(self._line.run())]
        if self.kernelspecs:
            beside.append(asyncio.create_task(SpecWriter(self.service).run()))
        try:
            await self.service.core.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    def _look_home(self) -> None:
        """A home that was deleted, or whose card another server wrote, is no longer ours."""
        if _card_pid(self._folder()) != os.getpid():
            self.log.error("%s no longer names this server: stopping", self._folder() / "server.json")
            self.serverapp.stop()

    def _core_ended(self, task: asyncio.Task[None]) -> None:
        """A core that ends unasked takes the server with it: the next use starts a fresh one."""
        if not task.cancelled() and task.exception() is not None:
            self.log.error("the control core failed", exc_info=task.exception())
            self.serverapp.stop()


def serve(home: Path, *, port: int, token: str) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    config: Any = Config()
    config.SkynbApp.home = str(home)
    config.ServerApp.ip = "127.0.0.1"
    config.ServerApp.port = port
    config.ServerApp.open_browser = False
    config.ServerApp.allow_root = True  # containers and fresh cloud machines have no other user
    config.ServerApp.allow_unauthenticated_access = False
    config.ServerApp.root_dir = str(home)
    config.IdentityProvider.token = token
    server = PlainServer.instance(config=config, jpserver_extensions={"skynb_jupyter.app": True})
    server.initialize(argv=[], starter_extension=SkynbApp.name, find_extensions=False)
    server.start()


def _card_pid(folder: Path) -> int | None:
    try:
        return int(msgspec.json.decode((folder / "server.json").read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
