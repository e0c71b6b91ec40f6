"""Clients as python-socketio 5.8 makes them, certificate verification off. Commands and reports are those of
tests/js/clients.mjs, without `lose` and `return`, which the library cannot do; a disconnect has no reason here.

{"event": "lost"}    a connection ended before the server had answered CONNECT. On a busy machine the library loses
                     about one in a hundred over TLS, also straight to Node: whoever reads this begins anew.
"""

import hashlib
import json
import sys
import threading

import socketio
import urllib3

import turns

TRANSPORTS = {"upgrade": ["polling", "websocket"], "websocket": ["websocket"], "polling": ["polling"]}
LONG = 2000

turns.at_ssl_objects()
urllib3.disable_warnings()
output = threading.Lock()
clients = {}


def report(**fields):
    with output:
        print(json.dumps(fields), flush=True)


def read(value):
    """From a command."""
    if isinstance(value, dict):
        if list(value) == ["bytes"]:
            return bytes.fromhex(value["bytes"])
        return {key: read(item) for key, item in value.items()}
    return [read(item) for item in value] if isinstance(value, list) else value


def written(value, own):
    """Into a report."""
    if isinstance(value, str):
        if value == own:
            return "(id)"
        return value if len(value) < LONG else long(value.encode())
    if isinstance(value, bytes):
        return {"bytes": value.hex()} if len(value) < LONG else long(value)
    if isinstance(value, dict):
        return {key: written(item, own) for key, item in value.items()}
    return [written(item, own) for item in value] if isinstance(value, (list, tuple)) else value


def long(data):
    return {"sha1": hashlib.sha1(data).hexdigest(), "length": len(data)}


def open_client(command):
    name = command["client"]
    client = socketio.Client(ssl_verify=False, reconnection=False)
    # python-engineio starts a thread for each message, which loses their order before anybody sees it.
    trigger = client.eio._trigger_event
    client.eio._trigger_event = lambda event, *args, run_async=False: trigger(event, *args)
    answered = threading.Event()

    def on_transport_end():
        if not answered.is_set():
            report(event="lost")
        client._handle_eio_disconnect()

    client.eio.on("disconnect", on_transport_end)
    for namespace in command["namespaces"]:
        listen(client, name, namespace, answered)
    try:
        client.connect(command["url"], transports=TRANSPORTS[command["mode"]], namespaces=command["namespaces"],
                       auth=command["auth"], wait=False)
        clients[name] = client
    except socketio.exceptions.ConnectionError:
        report(event="lost")


def listen(client, name, namespace, answered):
    def say(event, **fields):
        report(client=name, namespace=namespace, event=event, **fields)

    def on_connect():
        answered.set()
        say("connect", recovered=False)

    def on_connect_error(error):
        if isinstance(error, dict):
            answered.set()
            say("connect_error", message=error["message"], data=error.get("data"))

    def on_event(what, *values):
        say("got", what=what, values=written(values, client.get_sid(namespace)))
        # Of all events only this one wants an ack, and the library does not tell.
        return {"answer": list(values)} if what == "question" else None

    client.on("connect", on_connect, namespace=namespace)
    client.on("connect_error", on_connect_error, namespace=namespace)
    client.on("disconnect", lambda: say("disconnect", reason=None), namespace=namespace)
    client.on("*", on_event, namespace=namespace)


def emit(command, callback=None):
    client, values = clients[command["client"]], tuple(read(command["values"]))
    client.emit(command["what"], values, namespace=command["namespace"], callback=callback)


def ask(command):
    name, namespace = command["client"], command["namespace"]
    own = clients[name].get_sid(namespace)
    emit(command, lambda *values: report(client=name, namespace=namespace, event="acked", values=written(values, own)))


def obey(command):
    match command["do"]:
        case "open":
            open_client(command)
        case "emit":
            emit(command)
        case "ask":
            ask(command)
        case "transport":
            name = command["client"]
            report(client=name, namespace="", event="transport", name=clients[name].transport())
        case "close":
            clients[command["client"]].disconnect()


for line in sys.stdin:
    obey(json.loads(line))
