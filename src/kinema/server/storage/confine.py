"""What a process that reads strangers' files gives up: most of the file system, and the network.

Landlock (Linux 5.13 and later) leaves it the files of its own installation, to read, and one folder, to write; a seccomp filter
leaves it no sockets. Both hold for the rest of the process and everything that it starts, and need no rights. A kernel or an
architecture that lacks one of them is named, and the rest still holds.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
"""System calls, by the same numbers on all architectures."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_FILTER = 38, 22, 2
READ = 0b1101
"""Landlock's rights to run and read files and to list folders."""
WRITE_OF_VERSION = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2}
"""Its rights to write, make, remove and (2) move files, and (3) to shorten them, by the version of its interface."""
SOCKET_CALLS = {"x86_64": (0xC000003E, (41, 53)), "aarch64": (0xC00000B7, (198, 199))}
"""Audit number of an architecture, and its calls socket and socketpair."""
EACCES_ANSWER = 0x00050000 | 13
ALLOW = 0x7FFF0000
LACKS = "confine: "
"""Begins a line of a subprocess about what it could not give up."""
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev/urandom", "/dev/random", "/dev/zero")


class _Path(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def confine(folder: Path) -> list[str]:
    """Give up the network, and all files but those of the system and of this installation (to read) and the folder (to write).

    Returns:
        One line for each part that this system cannot do.
    """
    if sys.platform != "linux":
        return [f"neither files nor the network are closed: {sys.platform} has neither Landlock nor seccomp"]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return ["no rights can be given up here"]
    readable = [*SYSTEM, sys.prefix, sys.base_prefix, *(path for path in sys.path if path)]
    return [*_restrict_files(libc, readable, folder), *_forbid_sockets(libc)]


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[str], folder: Path) -> list[str]:
    version = libc.syscall(LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return [
            "files are not restricted: this kernel has no Landlock (Linux 5.13 and later have it, where it is switched on)"
        ]
    write = WRITE_OF_VERSION[min(version, max(WRITE_OF_VERSION))]
    handled = struct.pack("Q", READ | write)
    rules = libc.syscall(LANDLOCK_CREATE, handled, len(handled), 0)
    allowed = [(path, READ) for path in readable] + [(str(folder), READ | write), ("/dev/null", READ | 0b10)]
    for path, rights in allowed:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        files_only = 0b111 | 0x4000 & write
        rule = _Path(allowed=rights if Path(path).is_dir() else rights & files_only, parent=opened)
        libc.syscall(LANDLOCK_ADD, rules, 1, ctypes.byref(rule), 0)
        os.close(opened)
    failed = libc.syscall(LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)
    return [f"files are not restricted: {os.strerror(ctypes.get_errno())}"] if failed else []


def _forbid_sockets(libc: ctypes.CDLL) -> list[str]:
    if platform.machine() not in SOCKET_CALLS:
        return [f"the network is not closed: sockets of {platform.machine()} are not known here"]
    audit, calls = SOCKET_CALLS[platform.machine()]
    steps = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, audit),  # another one may do nothing
        (0x06, 0, 0, EACCES_ANSWER),
        (0x20, 0, 0, 0),  # load the number of the call
        *((0x15, len(calls) - i, 0, call) for i, call in enumerate(calls)),
        (0x06, 0, 0, ALLOW),
        (0x06, 0, 0, EACCES_ANSWER),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code)
    program = _Program(length=len(steps), filter=ctypes.cast(buffer, ctypes.c_void_p))
    failed = libc.prctl(PR_SET_SECCOMP, SECCOMP_FILTER, ctypes.byref(program), 0, 0)
    return [f"the network is not closed: {os.strerror(ctypes.get_errno())}"] if failed else []
