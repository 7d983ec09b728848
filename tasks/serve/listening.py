"""The socket of a server, opened before libraries and models take their time."""

import errno
import socket

from tasks.core.errors import MachineError, SettingsError


def listen(host: str, port: int) -> socket.socket:
    """A socket at that address. Raises `MachineError` where the port is taken."""
    if not 0 <= port <= 65535:
        raise SettingsError(f"--port {port}: must be a number from 0 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MachineError(f"port {port} of {host} is in use; choose another one with --port.") from None
        raise MachineError(f"cannot listen on {host}, port {port}: {error.strerror or error}.") from None
