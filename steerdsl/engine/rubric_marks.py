"""Ask judges for marks of answers by rubrics, and keep their replies.

In: rubrics and answers; judges, behind an endpoint or opened here. Out: a `Mark` for each answer, and for the record
what was asked, what has no mark and why, and how two judges of the same answers agree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from steerdsl.forms.kept import MARKED
from steerdsl.forms.text import read_json
from steerdsl.measure import rubric as rubrics
from steerdsl.measure.kappa import weighted_kappa
from steerdsl.measure.rubric import Candidates, Mark, Rubric
from steerdsl.models.cache import Progress
from steerdsl.store.files import write_json
from steerdsl.store.results import Store, content_key

Conversation = list[dict[str, str]]


class Shown(NamedTuple):
    """An answer to be marked. `baseline` is the unsteered model's answer to the same question."""

    question: str
    answer: str
    baseline: str = ""


class JudgeReply(NamedTuple):
    """What a judge says; `candidates` might stand in the place of its mark, None where that is not known."""

    text: str
    candidates: Candidates | None = None


class RubricJudge(Protocol):
    """A judge. `name` is how recipe or command line call it; `key` says which weights it has, as far as is known;
    after `together` replies, what was said is kept."""

    name: str
    key: str
    local: bool
    together: int

    def replies(self, rubric: Rubric, asked: Sequence[Conversation]) -> list[JudgeReply]:
        """The replies to some conversations, in their order."""


@dataclass(slots=True)
class JudgeWork:
    """What one judge did by one rubric: answers marked by expectation and by the number written, answers without a
    mark and why, replies taken from the store."""

    scale: list[float]
    expected: int = 0
    written: int = 0
    unread: int = 0
    from_store: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Marks:
    """The judges of one run; `judge` gives one by its name, None for the endpoint's."""

    judge: Callable[[str | None], RubricJudge]
    store: Store
    progress: Progress
    work: dict[tuple[str, Rubric, bool], JudgeWork] = field(default_factory=dict)
    given: dict[tuple[str, Rubric], dict[Shown, float]] = field(default_factory=dict)

    def give(self, name: str | None, rubric: Rubric, items: Sequence[Shown]) -> list[Mark]:
        """The mark of each answer by a rubric; equal questions are asked once. Raises RecipeError R896 for an endpoint
        that does not answer."""
        judge = self.judge(name)
        done = self.work.setdefault((judge.name, rubric, judge.local), JudgeWork([*rubric.scale]))
        each = {item: rubrics.messages(rubric, *item) for item in dict.fromkeys(items)}
        found = self._kept(judge, rubric, each, done)
        todo = [item for item in each if item not in found]
        for start in range(0, len(todo), judge.together):
            self.progress(f"marked by {judge.name}", start, len(todo))
            part = todo[start : start + judge.together]
            replies = _replies(judge, rubric, [each[item] for item in part])
            for item, reply in zip(part, replies, strict=True):
                key = _key(judge, rubric, each[item])
                found[item] = self.store.save(key, {"kind": "judgement"}, _writer(reply), _read)
        marks = {item: rubrics.read(rubric, *found[item]) for item in each}
        for mark in marks.values():
            _count(done, mark)
        self.given.setdefault((judge.name, rubric), {}).update((item, mark.value) for item, mark in marks.items())
        return [marks[item] for item in items]

    def _kept(
        self, judge: RubricJudge, rubric: Rubric, each: Mapping[Shown, Conversation], done: JudgeWork
    ) -> dict[Shown, JudgeReply]:
        found = {}
        for item, asked in each.items():
            reply = self.store.load(_key(judge, rubric, asked), _read)
            if reply is not None:
                found[item] = reply
        done.from_store += len(found)
        return found

    def to_json(self) -> dict[str, Any]:
        """What the record keeps: a line for each judge and rubric, and the agreement of judges."""
        lines = []
        for (name, rubric, local), work in self.work.items():
            counts = {n: getattr(work, n) for n in ("expected", "written", "unread", "from_store")}
            about = {"judge": name, "local": local, "rubric": rubric.name, "scale": work.scale}
            lines.append({**about, **counts, "faults": dict(work.faults)})
        return {"rubrics": lines, "agreement": self.agreement()}

    def agreement(self) -> list[dict[str, Any]]:
        """Weighted kappa of each two judges that marked the same answers by the same rubric."""
        found = []
        for (one, rubric), (other, same) in combinations(self.given, 2):
            both = [item for item in self.given[one, rubric] if item in self.given[other, same]]
            if rubric == same and one != other and both:
                ours, theirs = ([self.given[name, rubric][item] for item in both] for name in (one, other))
                agreed = weighted_kappa(ours, theirs)
                about = {"rubric": rubric.name, "judges": [one, other]}
                found.append({**about, "weighted_kappa": agreed.kappa, "n": agreed.n})
        return found

    def warnings(self) -> list[str]:
        """What a run says of answers without a mark, and of marks that were read in two ways."""
        lines = []
        for (name, rubric, _), work in self.work.items():
            asked = work.expected + work.written + work.unread
            if work.unread:
                whys = "; ".join(f"{why} ({count})" for why, count in work.faults.items())
                lines.append(f"judge {name}: {work.unread} of {asked} answers have no mark by {rubric.name}: {whys}")
            if work.expected and work.written:
                counts = (
                    f"{work.expected} marks by {rubric.name} are expectations and {work.written} are numbers as written"
                )
                lines.append(f"judge {name}: {counts}; `mark: number` reads all of them alike")
        for pair in self.agreement():
            kappa = "not defined" if pair["weighted_kappa"] is None else f"{pair['weighted_kappa']:.2f}"
            judges = " and ".join(pair["judges"])
            lines.append(f"judges {judges} by {pair['rubric']}: weighted kappa {kappa} over {pair['n']} answers")
        return lines


def _replies(judge: RubricJudge, rubric: Rubric, asked: Sequence[Conversation]) -> list[JudgeReply]:
    """The replies to some conversations; one without a mark is asked for once more, in so many words."""
    made = judge.replies(rubric, asked)
    unclear = [n for n, reply in enumerate(made) if rubrics.read(rubric, *reply).fault is not None]
    more = judge.replies(rubric, [_again(rubric, asked[n], made[n].text) for n in unclear])
    for n, reply in zip(unclear, more, strict=True):
        made[n] = reply
    return made


def _count(done: JudgeWork, mark: Mark) -> None:
    if mark.fault is not None:
        done.unread += 1
        done.faults[mark.fault] += 1
    elif mark.expected:
        done.expected += 1
    else:
        done.written += 1


def values(marks: Sequence[Mark]) -> list[float]:
    """The marks as figures, nan where there is none."""
    return [mark.value if mark.fault is None else math.nan for mark in marks]


def _again(rubric: Rubric, asked: Conversation, reply: str) -> Conversation:
    told = {"role": "user", "content": rubrics.again(rubric)}
    return [*asked, {"role": "assistant", "content": reply}, told]


def _key(judge: RubricJudge, rubric: Rubric, asked: Conversation) -> str:
    return content_key({"mark": rubrics.VERSION, "judge": judge.key, "messages": asked, "expected": rubric.expected})


def _read(folder: Path) -> JudgeReply:
    found = read_json(folder / "reply.json", MARKED, within=folder)
    candidates = found["candidates"]
    return JudgeReply(found["reply"], None if candidates is None else [(text, logprob) for text, logprob in candidates])


def _writer(reply: JudgeReply) -> Callable[[Path], None]:
    candidates = None if reply.candidates is None else [list(one) for one in reply.candidates]
    return lambda fresh: write_json(fresh / "reply.json", {"reply": reply.text, "candidates": candidates})
