"""Where the server's garbage is collected: `flows/serving.py` says why it matters."""

import subprocess
import sys

PROGRAM = """
import threading
from flows import serving

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        where.append(threading.current_thread().name)
        gone.set()

where, gone = [], threading.Event()
serving.PAUSE = 0.01
serving.collect()
for _ in range(20_000):  # of which the main thread would collect at each 700th
    Cycle()
assert gone.wait(60)
print(set(where))
"""


def test_garbage_is_collected_in_a_thread_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{'garbage collector'}\n", "")
