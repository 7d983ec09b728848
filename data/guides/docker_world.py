"""A simulated Docker that the Docker assistant acts on: containers, images, networks and volumes, and nothing real.

`align.episodes.environment: docker_world.py:Docker`. An episode begins in a state in which the reference of the row has
something to do, and is over when the assistant has brought about what the reference would: by that command, or by
others, such as `docker stop web1` and `docker rm web1` for `docker rm -f web1`. Where Docker refuses, it says why.
"""

import copy
import random
import shlex

FROM = {"start": "exited", "unpause": "paused", "rm": "exited"}
"""The state in which a container has to be; running for all others."""

TO = {
    "start": "running",
    "restart": "running",
    "unpause": "running",
    "pause": "paused",
    "stop": "exited",
    "kill": "exited",
}
"""What becomes of it."""

OPTIONS = {
    **dict.fromkeys((*TO, "rename", "network", "volume", "rmi", "tag", "pull"), frozenset[str]()),
    "rm": frozenset({"-f"}),
    "build": frozenset({"-t"}),
}
"""The options of commands whose options are not part of the goal."""

VALUED = {"--name", "-p", "-v", "-e", "-t", "--tail"}
"""Options that are followed by a value."""


class Refused(Exception):
    """Docker does not do it; the message says why."""


class State:
    """What there is."""

    def __init__(self) -> None:
        self.containers: dict[str, str] = {"other1": "running"}
        self.runs: list[tuple[str, ...]] = []
        self.images, self.networks, self.volumes = set[str](), set[str](), set[str]()
        self.joined, self.asked = set[tuple[str, ...]](), set[tuple[str, ...]]()

    def reaches(self, goal: "State") -> bool:
        """Whether all is as in `goal`, and what was asked there was asked here too."""
        return {**vars(self), "asked": self.asked & goal.asked} == vars(goal)

    def do(self, command: str) -> str:
        """Carry a command out, and return what Docker prints. Raises `Refused`."""
        try:
            program, verb, *rest = shlex.split(command)
        except ValueError:
            raise Refused("this is no command") from None
        if program != "docker":
            raise Refused(f"{program}: command not found")
        options, names = split(rest)
        if unknown := sorted(options.keys() - OPTIONS.get(verb, options.keys())):
            raise Refused(f"{verb} has no option {unknown[0]}")
        if verb in ("network", "volume") and names and names[0] != "ls":
            return self.shelf(verb, names)
        if verb in (*TO, "rm", "rename"):
            return self.container(verb, names, "-f" in options)
        if verb == "run":
            if not names:
                raise Refused("run needs an image")
            self.images.add(names[0])
            self.runs.append((*names, *sorted(" ".join(pair) for pair in options.items())))
        elif verb in ("pull", "build"):
            if len(names) != 1:
                raise Refused(f"{verb} needs one argument")
            self.images.add(options.get("-t", names[0] if names else ""))
        elif verb == "rmi":
            self.drop(self.images, names, "image")
        elif verb == "tag" and len(names) == 2:
            self.images.add(names[1])
        elif verb in (
            "ps",
            "images",
            "network",
            "volume",
            "compose",
            "push",
            "wait",
            "inspect",
            "logs",
            "stats",
            "top",
            "port",
            "exec",
            "cp",
        ):
            if verb in ("wait", "inspect", "logs", "stats", "top", "port", "exec") and names:
                self.check(names[0])
            self.asked.add((verb, *names, *sorted(" ".join(pair) for pair in options.items())))
        else:
            raise Refused(f"{verb} is no docker command")
        return "done"

    def container(self, verb: str, names: list[str], force: bool) -> str:
        """Change containers, all of those that are named or none."""
        if not names or (verb == "rename" and len(names) != 2):
            raise Refused(f"{verb} needs {'two names' if verb == 'rename' else 'a container'}")
        for name in names[:1] if verb == "rename" else names:
            self.check(name)
            state = self.containers[name]
            if verb != "rename" and state != FROM.get(verb, "running") and not force and verb != "restart":
                raise Refused(f"{name} is {state}")
        if verb == "rename":
            self.containers[names[1]] = self.containers.pop(names[0])
            return names[1]
        for name in dict.fromkeys(names):
            if verb == "rm":
                del self.containers[name]
            else:
                self.containers[name] = TO[verb]
                self.asked.update({("restart", name)} if verb == "restart" else ())
        return names[-1]

    def shelf(self, verb: str, names: list[str]) -> str:
        """Change networks or volumes."""
        kept = self.networks if verb == "network" else self.volumes
        if names[0] == "create":
            kept.update(names[1:])
        elif names[0] == "rm":
            self.drop(kept, names[1:], verb)
        elif names[0] == "connect" and len(names) == 3 and names[1] in kept:
            self.check(names[2])
            self.joined.add((names[1], names[2]))
        else:
            raise Refused(f"{' '.join(names)}: no such {verb}")
        return names[-1]

    def check(self, container: str) -> None:
        """Raise `Refused` where there is no such container."""
        if container not in self.containers:
            raise Refused(f"no such container: {container}")

    def drop(self, kept: set[str], names: list[str], what: str) -> None:
        """Remove `names`. Raises `Refused` where one is not there."""
        if not names or not kept.issuperset(names):
            raise Refused(f"no such {what}: {' '.join(names)}")
        kept.difference_update(names)


def split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options with their values, and the other words."""
    options, names, waiting = {}, [], ""
    for word in words:
        if waiting:
            options[waiting], waiting = word, ""
        elif word.startswith("-") and not names:
            waiting = word if word in VALUED else ""
            options[word] = ""
        else:
            names.append(word)
    return options, names


def before(reference: str) -> State:
    """A state in which the command `reference` has something to do. A container to remove runs, every second time."""
    state = State()
    verb, *rest = shlex.split(reference)[1:] or [""]
    names = split(rest)[1]
    if verb == "network":
        state.networks.update(names[1:2] if names[0] == "connect" else [])
        names = names[2:]
    elif verb == "volume":
        state.volumes.update(names[1:] if names[0] == "rm" else [])
    elif verb == "rmi":
        state.images.update(names)
    if verb in (*TO, "rm", "rename", "network", "wait", "inspect", "logs", "stats", "top", "port", "exec", "cp"):
        running = "running" if verb != "rm" or random.random() < 0.5 else "exited"
        for name in names[:1]:
            state.containers[name] = running if verb == "rm" else FROM.get(verb, "running")
    return state


class Docker:
    """The environment: says what Docker prints, and whether the goal was reached."""

    def reset(self, reference: str) -> None:
        """Begin an episode whose goal is what the command `reference` brings about."""
        self.state, self.turns, self.near = before(reference), 0, 0.0
        self.words = set(reference.split())
        self.goal = copy.deepcopy(self.state)
        forced = reference.replace("docker rm ", "docker rm -f ").replace("-f -f", "-f")
        self.goal.do(forced)
        self.reached = False

    def step(self, answer: str) -> tuple[str, bool]:
        """Carry out what the assistant says."""
        self.turns += 1
        words = set(answer.split())
        self.near = max(self.near, len(words & self.words) / len(words | self.words))
        try:
            printed = self.state.do(answer.strip())
        except Refused as refusal:
            printed = f"error: {refusal}"
        self.reached = self.state.reaches(self.goal)
        return printed, self.reached

    def get_reward(self) -> float:
        """1 where the goal was reached, a tenth less for each further turn; else half the share of words in common."""
        return 1.1 - 0.1 * self.turns if self.reached else 0.5 * self.near
