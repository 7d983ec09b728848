"""Run a program and its tests where they can only compute: `python -I -S sandbox.py MIB SECONDS`.

Standard input is a token, code and tests, with a null byte between them. Writes the token to standard output when both
came to their end. Started by `code.py`, alone: it imports nothing of temper.
The filter is a list of what is allowed (seccomp, Linux); all else fails with EPERM, so that nothing new in a kernel is
open by accident. Files can be opened for reading only.
"""

import ctypes
import os
import platform
import resource
import struct
import sys

EPERM = 1
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | EPERM, 0x80000000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NR, ARCH, FLAGS = 0, 4, 16 + 8 * 2
"""Where `struct seccomp_data` has the call's number, the machine, and the third argument."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2

MACHINES = {
    "x86_64": (
        0xC000003E, 257,
        # read write close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
        # ioctl pread64 access select sched_yield mremap madvise dup nanosleep getpid exit uname getcwd readlink
        # gettimeofday getrlimit getrusage sysinfo times getuid getgid geteuid getegid sigaltstack gettid time futex
        # sched_getaffinity getdents64 set_tid_address clock_gettime clock_getres clock_nanosleep exit_group newfstatat
        # readlinkat faccessat set_robust_list getrandom statx rseq faccessat2 fcntl
        (0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 21, 23, 24, 25, 28, 32, 35, 39, 60, 63, 79, 89, 96,
         97, 98, 99, 100, 102, 104, 107, 108, 131, 186, 201, 202, 204, 217, 218, 228, 229, 230, 231, 262, 267, 269, 273,
         318, 332, 334, 439, 72),
    ),
    "aarch64": (
        0xC00000B7, 56,
        # the same where ARM64 has them
        (63, 64, 57, 80, 73, 62, 222, 226, 215, 214, 134, 135, 139, 29, 67, 48, 72, 124, 216, 233, 23, 101, 172, 93,
         160, 17, 78, 169, 163, 165, 179, 153, 174, 176, 175, 177, 132, 178, 98, 123, 61, 96, 113, 114, 115, 94, 79,
         99, 278, 291, 293, 439, 25),
    ),
}  # fmt: skip
"""By machine: its number, that of `openat`, and the calls that are allowed."""


def confine(mebibytes: int, seconds: int) -> None:
    """Give up everything but computing and reading, for good. Raises `OSError` or `KeyError` where that cannot be."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_PDEATHSIG, SIGKILL)  # whoever started it may be killed, and a program may sleep
    size = mebibytes * 2**20
    for limit, most in (
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(limit, (most, most))
    number, openat, allowed = MACHINES[platform.machine()]
    steps = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, number),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NR),
        (EQUAL, 0, 4, openat),
        (LOAD, 0, 0, FLAGS),
        (ANY_BIT, 0, 1, WRITING),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    for call in allowed:
        steps += [(EQUAL, 0, 1, call), (RETURN, 0, 0, ALLOW)]
    steps.append((RETURN, 0, 0, REFUSE))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(header), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> int:
    """Run what stands in standard input; 0 where it came to its end."""
    token, program, tests = sys.stdin.buffer.read().decode().split("\0", 2)
    write, silent = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # what the program prints is nobody's business, and may be endless
    confine(int(sys.argv[1]), int(sys.argv[2]))
    namespace = {"__name__": "__main__"}
    exec(compile(program, "answer", "exec"), namespace)
    exec(compile(tests, "tests", "exec"), namespace)
    os.write(write, token.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
