"""tune.*"""

from __future__ import annotations

from ...errors import Invalid
from ...tune import Reading, Tuner
from ..messages import tune as messages
from ..method import Nothing
from . import Handlers

RMEM_MAX, WMEM_MAX = "net.core.rmem_max", "net.core.wmem_max"
# What `tune net show` always has, besides what was set through volt.
SHOWN = (
    RMEM_MAX,
    WMEM_MAX,
    "net.core.rmem_default",
    "net.core.wmem_default",
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.ip_forward",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_congestion_control",
    "net.netfilter.nf_conntrack_max",
)


class TuneHandlers:
    def __init__(self, tuner: Tuner) -> None:
        self._tuner = tuner

    def handlers(self) -> Handlers:
        return {
            "tune.net.show": self.show,
            "tune.net.buffers": self.buffers,
            "tune.sysctl.get": self.get,
            "tune.sysctl.set": self.set,
            "tune.sysctl.reset": self.reset,
            "tune.sysctl.list": self.list,
        }

    async def show(self, params: Nothing) -> list[messages.Setting]:
        tuned = [each for each in await self._tuner.tuned() if each.name not in SHOWN]
        return [_view(each) for each in (*await self._tuner.look(SHOWN), *tuned)]

    async def buffers(self, params: messages.Buffers) -> list[messages.Setting]:
        sizes = {RMEM_MAX: params.rmem_max, WMEM_MAX: params.wmem_max}
        wanted = {name: str(size) for name, size in sizes.items() if size is not None}
        if not wanted:
            raise Invalid("no size was given", "give --rmem-max, --wmem-max or both")
        return [_view(each) for each in await self._tuner.set(wanted, params.runtime)]

    async def get(self, params: messages.SettingKey) -> messages.Setting:
        return _view(await self._tuner.get(params.key))

    async def set(self, params: messages.SetSetting) -> messages.Setting:
        (found,) = await self._tuner.set({params.key: params.value}, params.runtime)
        return _view(found)

    async def reset(self, params: messages.SettingKey) -> messages.Setting:
        return _view(await self._tuner.reset(params.key))

    async def list(self, params: messages.SettingPattern) -> list[messages.Setting]:
        if params.pattern is None:
            return [_view(each) for each in await self._tuner.tuned()]
        return [_view(each) for each in await self._tuner.matching(params.pattern)]


def _view(each: Reading) -> messages.Setting:
    tuned = each.tuned
    if tuned is None:
        return messages.Setting(each.name, each.value)
    return messages.Setting(each.name, each.value, tuned.former, tuned.kept)
