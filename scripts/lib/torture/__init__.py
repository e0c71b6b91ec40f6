"""What the proxy must survive, tried out; started by scripts/torture, which explains the options.

`__main__` runs the scenarios, one module each. What they share: `report` (lines of numbers, PASS or FAIL), `stage` (the
servers of one scenario), `processes` (started and ended by process id, and what /proc says of them), `stream` and
`client` (connections and strict HTTP/1.1), `load` (requests at a rate, counted one by one), `websocket` and `frames`
(HTTP/2). backend.js is a real Node.js server, `rawnode` one that breaks the rules. `dashboard` has modules of its own:
`dashboard_requests` makes requests, `dashboard_sides` starts both sides and compares answers, `dashboard_differences`
knows which ones are meant.
"""
