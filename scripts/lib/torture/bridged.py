"""The server of tests/legacy/sockets and a proxy before it whose native side is its twin."""

from .event_flips import SOCKETS, check_packages

BOTH_SIDES = """\
[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"
once = [{ name = "auth" }]

# By what the client says, so that one socket has both sides at once.
[rule.named]
events = { all = ["side", "message-with-ack"] }
where = { "" = "to native" }
to = "native"

# By who the client is, so that the same bytes go to either side.
[rule.native]
events = { all = ["message", "ask", "burst", "big"] }
where = { "query:side" = "native" }
to = "native"

[rule.acks]
events = { all = ["message-with-ack"] }
where = { "query:side" = "native", "" = ["still", 1, 2] }
to = "native"
"""


async def sockets_node(stage, **environment):
    check_packages()
    return await stage.node(script=SOCKETS / "server.js", **environment)


async def bridged(stage, node_port, rules):
    return await stage.proxy(node_port, rules, binary=stage.example("sockets"), native='app = "sockets"')


def with_node_loss(name):
    """The same rules, where a Node that is lost is waited for (`resume`) or its clients are ended (`bounce`)."""
    return BOTH_SIDES.replace("\n\n", f'\nnode_loss = "{name}"\n\n', 1)
