"""Uses the door at sys.argv[1] with QEMU's own Python library."""

import asyncio
import sys

from qemu.qmp import ExecuteError, QMPClient
from qemu.qmp.legacy import QEMUMonitorProtocol


async def client(path):
    """Many commands at a time, and events."""
    qmp = QMPClient("user")
    await qmp.connect(path)
    assert qmp.greeting.QMP.version["qemu"]["major"] >= 5, qmp.greeting
    with qmp.listener(("STOP", "RESUME")) as listener:
        for command, event in (("stop", "STOP"), ("cont", "RESUME")):
            assert await qmp.execute(command) == {}
            got = await listener.get()
            assert got["event"] == event, got
    names = [f"token-{i}" for i in range(50)]
    errors = await asyncio.gather(
        *(qmp.execute("qom-list", {"path": "/" + name}) for name in names),
        return_exceptions=True,
    )
    for name, error in zip(names, errors):
        assert isinstance(error, ExecuteError), error
        assert f"'/{name}'" in str(error), error
    # Out of band: the command is refused by QEMU, not by the door.
    try:
        await qmp.execute("migrate-pause", oob=True)
    except ExecuteError as err:
        assert "postcopy" in str(err), err
    else:
        raise AssertionError("migrate-pause succeeded without a migration")
    await qmp.disconnect()
    print("client done")


def legacy(path):
    """The blocking calls."""
    qmp = QEMUMonitorProtocol(path)
    qmp.connect()
    assert qmp.cmd_raw("query-status") if hasattr(qmp, "cmd_raw") else qmp.cmd("query-status")
    assert "error" in qmp.cmd_obj({"execute": "nope", "id": "mine"})
    qmp.cmd_obj({"execute": "stop"})
    assert qmp.pull_event(wait=30.0)["event"] == "STOP"
    qmp.cmd_obj({"execute": "cont"})
    qmp.close()
    print("legacy done")


asyncio.run(client(sys.argv[1]))
legacy(sys.argv[1])
