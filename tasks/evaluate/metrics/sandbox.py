"""Run a program and its tests where they can only compute: `python -I -S sandbox.py BYTES SECONDS FILES`, its limits.

Standard input is a token, code and tests, with a null byte between them. Writes the token to standard output when both
came to their end. Started by `code.py`, alone: it imports nothing of temper.
The filter is a list of what is allowed (seccomp, Linux); all else fails with EPERM, so that nothing new in a kernel is
open by accident. Files can be opened for reading only, and only those of Python itself (Landlock, Linux 5.13): what a
program reads is nobody's secret.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path

EPERM = 1
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | EPERM, 0x80000000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NR, ARCH, SECOND, THIRD = 0, 4, 16 + 8, 16 + 8 * 2
"""Where `struct seccomp_data` has the call's number, the machine, and the second and third argument (low halves)."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TTY, DESCRIPTOR = (0x5401,), (0, 1, 2, 3, 1030)
"""Of ioctl whether something is a terminal (TCGETS), and of fcntl copies and flags of a descriptor: others change
attributes of files, or have the kernel send signals to anybody."""

CREATE_RULESET, ADD_RULE, RESTRICT = 444, 445, 446
PATH_BENEATH, READ_FILE, READ_FOLDER, EVERYTHING = 1, 1 << 2, 1 << 3, (1 << 13) - 1
"""Landlock: its calls, on both machines, and the rights to files that its first version knows."""

READABLE = [
    *(f"{prefix}/lib" for prefix in ("/usr", sys.base_prefix)), str(Path(os.__file__).parent),
    "/lib", "/lib64", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache",
    "/dev/null", "/dev/urandom", "/dev/random", "/dev/zero",
]  # fmt: skip
"""What a program may read: the standard library and what it is made of. (-S: no installed package.)"""

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2

MACHINES = {
    "x86_64": (
        0xC000003E, 257, 16, 72,
        # read write close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
        # pread64 access select sched_yield mremap madvise dup nanosleep getpid exit uname getcwd readlink
        # gettimeofday getrlimit getrusage sysinfo times getuid getgid geteuid getegid sigaltstack gettid time futex
        # sched_getaffinity getdents64 set_tid_address clock_gettime clock_getres clock_nanosleep exit_group newfstatat
        # readlinkat faccessat set_robust_list getrandom statx rseq faccessat2
        (0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 21, 23, 24, 25, 28, 32, 35, 39, 60, 63, 79, 89, 96,
         97, 98, 99, 100, 102, 104, 107, 108, 131, 186, 201, 202, 204, 217, 218, 228, 229, 230, 231, 262, 267, 269, 273,
         318, 332, 334, 439),
    ),
    "aarch64": (
        0xC00000B7, 56, 29, 25,
        # the same where ARM64 has them
        (63, 64, 57, 80, 73, 62, 222, 226, 215, 214, 134, 135, 139, 67, 48, 72, 124, 216, 233, 23, 101, 172, 93,
         160, 17, 78, 169, 163, 165, 179, 153, 174, 176, 175, 177, 132, 178, 98, 123, 61, 96, 113, 114, 115, 94, 79,
         99, 278, 291, 293, 439),
    ),
}  # fmt: skip
"""By machine: its number, those of `openat`, `ioctl` and `fcntl`, and the calls that are allowed."""


def confine(size: int, seconds: int, files: int) -> None:
    """Give up everything but computing and reading, for good. Raises `OSError` or `KeyError` where that cannot be.

    `size` in bytes of memory, `seconds` of computing, `files` that may be open; none above what the machine allows.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL)  # whoever started it may be killed, and a program may sleep
    for limit, most in (
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, files),
    ):
        resource.setrlimit(limit, (most, most))
    number, openat, ioctl, fcntl, allowed = MACHINES[platform.machine()]
    steps = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, number),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NR),
        (EQUAL, 0, 4, openat),
        (LOAD, 0, 0, THIRD),
        (ANY_BIT, 0, 1, WRITING),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    for call, kinds in ((ioctl, TTY), (fcntl, DESCRIPTOR)):
        steps += [(EQUAL, 0, 2 + 2 * len(kinds), call), (LOAD, 0, 0, SECOND)]
        for kind in kinds:
            steps += [(EQUAL, 0, 1, kind), (RETURN, 0, 0, ALLOW)]
        steps.append((RETURN, 0, 0, REFUSE))
    for call in allowed:
        steps += [(EQUAL, 0, 1, call), (RETURN, 0, 0, ALLOW)]
    steps.append((RETURN, 0, 0, REFUSE))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    restrict_reading(libc)
    if libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(header), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def restrict_reading(libc: ctypes.CDLL) -> None:
    """Let nothing be opened from now on but what is `READABLE`. Raises `OSError` where the kernel has no Landlock."""

    def call(number: int, *arguments: object) -> int:
        result = int(libc.syscall(number, *arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), "landlock")
        return result

    handled = ctypes.create_string_buffer(struct.pack("Q", EVERYTHING), 8)
    ruleset = call(CREATE_RULESET, handled, ctypes.c_size_t(8), 0)
    for path in READABLE:
        try:
            beneath = os.open(path, os.O_PATH)
        except OSError:
            continue  # not on this machine
        rights = READ_FILE | (READ_FOLDER if Path(path).is_dir() else 0)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, beneath), 12)
        call(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
        os.close(beneath)
    call(RESTRICT, ruleset, 0)
    os.close(ruleset)


def main() -> int:
    """Run what stands in standard input; 0 where it came to its end."""
    token, program, tests = sys.stdin.buffer.read().decode().split("\0", 2)
    write, silent = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # what the program prints is nobody's business, and may be endless
    confine(*map(int, sys.argv[1:]))
    namespace = {"__name__": "__main__"}
    exec(compile(program, "answer", "exec"), namespace)
    exec(compile(tests, "tests", "exec"), namespace)
    os.write(write, token.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
