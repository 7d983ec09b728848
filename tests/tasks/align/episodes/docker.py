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


class Vowels:
    """Likes vowels, and asks for more of them; how much it likes them is drawn."""

    def reset(self) -> None:
        self.shares: list[float] = []
        self.weight = random.uniform(0.5, 1.0)

    def step(self, answer: str) -> tuple[str, bool]:
        self.shares.append(sum(one in "aeiou" for one in answer) / (len(answer) or 1))
        return "more", self.shares[-1] > 0.9

    def get_reward(self) -> float:
        return self.weight * sum(self.shares) / max(len(self.shares), 1)


class Letters:
    """Likes the letters of the reference, and never comes to an end; nothing is drawn."""

    def reset(self, reference: str) -> None:
        self.liked, self.heard = set(reference), ""

    def step(self, answer: str) -> tuple[str, bool]:
        self.heard += answer
        return f"{len(self.heard)} letters", False

    def get_reward(self) -> float:
        return sum(one in self.liked for one in self.heard) / (1 + len(self.heard))
