"""Processes: started so that they end with this one, ended by their id, and what /proc says about them."""

import contextlib
import ctypes
import functools
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None)


def adopt_orphans():
    """A successor of the proxy outlives its parent. It becomes our child then, and can be ended like one."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)


def start(command, log, folder, environment=None, files=None, stdout=None):
    """Starts a server in a session of its own, so that Ctrl-C reaches only us. `files` bounds its file descriptors."""

    def before_exec():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    return subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log, cwd=folder,
        env={**os.environ, **(environment or {})}, start_new_session=True, preexec_fn=before_exec,
    )


def end(process):
    """Also ends one that is stopped."""
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found


def end_children():
    """Whatever is left of what we started, successors of the proxy among it."""
    for _ in range(5):
        left = children(os.getpid())
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
        if not left:
            return


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def status_kb(pid, field):
    return int(re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def memory_mb(pid):
    return status_kb(pid, "VmRSS") / 1024


def peak_mb(pid):
    return status_kb(pid, "VmHWM") / 1024


def reset_peak(pid):
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def is_held(local, remote):
    """Whether a process still holds the socket from port `local` to `remote`: one that was closed has no inode."""
    return (local, remote) in held_sockets(int(time.monotonic() * 2))


@functools.lru_cache(maxsize=1)
def held_sockets(_half_second):
    """Read once for all that ask within half a second: hundreds do, and the list is long."""
    held = set()
    with open("/proc/net/tcp", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            fields = line.split()
            if fields[9] != "0":
                held.add((int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16)))
    return held


def raise_file_limit():
    """As many as the system allows: thousands of connections are held at both ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (65536, hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            return wanted
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, holds, seconds=20, pause=0.01):
    """Asks until it holds, and says after how long."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what} did not come within {seconds} s")
        time.sleep(pause)
    return time.monotonic() - began
