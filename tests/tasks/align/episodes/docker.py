"""A world for tests: names are asked for, and tools and turns change it."""

import random


class Named:
    """Knows a name, and is over once the model has said it; `count` tells of what was done."""

    def reset(self, prompt: str, reference: str) -> str:
        self.goal, self.near, self.count = reference.split()[-1], 0.0, 0
        return f"Say {self.goal}."

    def step(self, answer: str) -> tuple[str, bool]:
        self.near = max(self.near, sum(one in self.goal for one in set(answer)) / len(set(self.goal)))
        return "no", self.goal in answer

    def look(self, name: str, times: int = 1) -> dict[str, object]:
        """Looks a name up.

        Args:
            name: What is looked for.
            times: How often.
        """
        self.count += times
        return {"name": name, "count": self.count}

    def get_reward(self) -> float:
        return self.near + self.count


class Asking:
    """Wants letters of a name, and draws how many; replies until it has them."""

    def reset(self, reference: str) -> str:
        self.goal, self.wanted, self.best = set(reference.split()[-1]), random.randint(3, 5), 0.0
        return f"{self.wanted}"

    def step(self, answer: str) -> tuple[str, bool]:
        share = sum(one in self.goal for one in answer) / max(self.wanted, len(answer))
        self.best = max(self.best, share)
        return "no", share > 0.9

    def get_reward(self) -> float:
        return self.best
