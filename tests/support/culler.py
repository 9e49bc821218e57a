"""An extension of a server under test: Jupyter's own culler looks when a test says so, and not by the clock."""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado import web

PATH = "tests/cull"


class CullHandler(JupyterHandler):
    """Has kernels culled as though all of them had been idle for long, with `?busy` the busy ones too; answers with
    those that are left."""

    @web.authenticated
    async def post(self) -> None:
        manager: Any = self.kernel_manager
        manager.cull_idle_timeout, manager.cull_connected = -1, True
        manager.cull_busy = "busy" in self.request.query_arguments
        await manager.cull_kernels()
        self.finish({"left": manager.list_kernel_ids()})

    def check_xsrf_cookie(self) -> None:
        """Whoever tests comes with a token."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    app.web_app.add_handlers(".*$", [(app.base_url + PATH, CullHandler)])
