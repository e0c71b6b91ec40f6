"""Card readers, as python-socketio 5.8 connects them: certificate verification off, everything else by default.

Commands come on stdin and reports go to stdout, one JSON value a line, the same as in tests/js/readers.mjs:

{"do": "connect", "url": URL, "modes": [MODE]}      one client after the other; MODE is upgrade, websocket or polling
{"do": "send", "messages": [[...], ...]}            for each client its messages; every client sends its first before
                                                    any sends its second; {"picture": [N, M]} becomes 256 * M bytes
{"do": "transports"}                                reports what each client talks over by now
{"do": "disconnect"}
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
clients = []


def report(event, **fields):
    with output:
        print(json.dumps({"event": event, **fields}), flush=True)


def digest(text):
    """Long texts are compared by their hash."""
    if not isinstance(text, str) or len(text) < LONG:
        return text
    return f"sha1:{hashlib.sha1(text.encode()).hexdigest()}:{len(text)}"


def with_pictures(value):
    if isinstance(value, dict):
        if list(value) == ["picture"]:
            number, repeat = value["picture"]
            return bytes((number + 7 * index) % 256 for index in range(256)) * repeat
        return {key: with_pictures(item) for key, item in value.items()}
    return value


def connect(number, url, mode):
    client = socketio.Client(ssl_verify=False)
    # python-engineio starts a thread for each message, which loses their order before anybody sees it.
    trigger = client.eio._trigger_event
    client.eio._trigger_event = lambda event, *args, run_async=False: trigger(event, *args)
    # On a busy machine the library loses about one connection in a hundred over TLS, also straight to Node, and comes
    # back without a word if the server has not answered CONNECT yet. Each one that it loses like this is reported.
    answered = threading.Event()

    def on_connect():
        answered.set()
        report("connected", client=number)

    def on_transport_end():
        if client.reconnection and not answered.is_set():
            report("lost", client=number)
        answered.clear()
        client._handle_eio_disconnect()

    client.eio.on("disconnect", on_transport_end)
    client.on("connect", on_connect)
    client.on("disconnect", lambda: report("disconnected", client=number))
    client.on("hello", lambda text: report("hello", client=number, text=digest(text)))
    # All tests share the machine, so a second may be too short for the answer to CONNECT.
    while True:
        try:
            client.connect(url, transports=TRANSPORTS[mode], wait_timeout=10)
            return client
        except socketio.exceptions.ConnectionError:
            report("lost", client=number)


def obey(command):
    match command["do"]:
        case "connect":
            for mode in command["modes"]:
                clients.append(connect(len(clients), command["url"], mode))
        case "send":
            for turn in zip(*command["messages"]):
                for client, message in zip(clients, turn):
                    client.emit("message", with_pictures(message))
        case "transports":
            report("transports", names=[client.transport() for client in clients])
        case "disconnect":
            for client in clients:
                # Node may close before the library knows that it is leaving: that looks like a lost connection, and
                # the library would come back, to greet everybody once more.
                client.reconnection = False
                client.disconnect()
            clients.clear()
            report("done")


for line in sys.stdin:
    obey(json.loads(line))
