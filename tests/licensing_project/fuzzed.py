"""Messages made up by Hypothesis: from random bytes to what is almost one of ours. The same ones every time.

FUZZED_MESSAGES says how many the tests send (500); the campaign of docs/guarantees.md sends 10,000.
"""

import json
import os
import random
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

COUNT = int(os.environ.get("FUZZED_MESSAGES", "500"))
_SEED = 5
_BY_HYPOTHESIS = 500
_NAMED = 0.5


@dataclass(frozen=True, slots=True)
class Fuzzed:
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["CREATED", "UPDATED", "DELETED", "SAVE", "GET", "X"]) | JSON,
        "organizationId": st.uuids().map(str) | JSON,
        "version": st.integers() | JSON,
        "occurredAt": st.datetimes().map(str) | JSON,
        "correlationId": JSON,
        "asOf": JSON,
    },
)
VALUES = st.none() | st.binary(max_size=200) | JSON.map(as_json) | ALMOST.map(as_json)
KEYS = st.none() | st.binary(max_size=40) | st.uuids().map(lambda key: str(key).encode())
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["contentType", "tmx-correlation-id", "spring_json_header_types", "dead-letter-id", "x"]),
        st.binary(max_size=40) | st.just(b"application/json"),
    ),
    max_size=3,
).map(tuple)
MESSAGES = st.builds(Fuzzed, VALUES, KEYS, HEADERS)


def fuzzed(count: int = COUNT) -> list[Fuzzed]:
    """So many messages that a producer can send: those of Hypothesis, then mutants of them, which are made faster."""
    made: list[Fuzzed] = []

    @seed(_SEED)
    @settings(
        max_examples=min(count, _BY_HYPOTHESIS),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(MESSAGES)
    def make(message: Fuzzed) -> None:
        made.append(message)

    make()
    chance = random.Random(_SEED)
    made += [_mutant(chance, made) for _ in range(count - len(made))]
    # kafka-python refuses to send nothing at all.
    return [replace(each, value=b"") if each.value is None and each.key is None else each for each in made]


def _mutant(chance: random.Random, of: list[Fuzzed]) -> Fuzzed:
    """One's body with a byte or two of it changed, cut out or doubled; another's headers; often a key of its own."""
    body = bytearray(chance.choice(of).value or b"{}")
    for _ in range(chance.randint(1, 2)):
        at = chance.randint(0, len(body))
        match chance.randrange(4):
            case 0:
                body[at : at + 1] = chance.randbytes(1)
            case 1:
                del body[at : at + chance.randint(1, 8)]
            case 2:
                body[at:at] = body[at : at + 8]
            case _:
                del body[at:]
    key = str(UUID(bytes=chance.randbytes(16))).encode() if chance.random() < _NAMED else chance.choice(of).key
    return Fuzzed(bytes(body), key, chance.choice(of).headers)
