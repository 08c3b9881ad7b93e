"""Messages that nobody should ever send, among the true ones: FUZZED_MESSAGES of them."""

import importlib
import random
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from kafka import KafkaProducer

from devstack.django_commands import LICENSING
from event_stream.conf import Binding
from event_stream.errors import ConversionError
from event_stream.messaging.message import ConsumerRecord
from tests.e2e.world import DEADLINE_S
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults import evidence
from tests.faults.campaign import ROUNDS, Fault, run
from tests.faults.site import Site
from tests.licensing_project.fuzzed import COUNT, fuzzed

pytestmark = lets_sockets_leak
GROUP = "licensingGroup"


def test_each_that_can_not_be_read_is_parked_once_and_all_else_goes_on(site: Site) -> None:
    """The control gets none: its consumer would end at the first, and again at each start."""
    rounds = max(1, ROUNDS // 2)
    messages, topic = fuzzed(), site.platform.topic
    shares = [messages[number::rounds] for number in range(rounds)]
    before = evidence.ends(site.bootstrap_servers, topic)

    def strike(site: Site, chance: random.Random) -> None:
        with closing(KafkaProducer(bootstrap_servers=site.bootstrap_servers.split(","))) as producer:
            sent = [producer.send(topic, each.value, key=each.key, headers=list(each.headers)) for each in shares.pop()]
            for each in sent:
                each.get(DEADLINE_S)

    run(site, Fault(f"poison: {COUNT:,} fuzzed messages", strike), rounds=rounds).assert_right()
    decode = decoder(topic)

    def is_new(partition: int, offset: int) -> bool:
        return offset > before[partition]

    refused = Counter(
        (record.partition, record.offset)
        for record in evidence.records(site.bootstrap_servers, topic)
        if is_new(record.partition, record.offset) and is_refused(decode, record)
    )
    parked = Counter(
        (letter.origin.partition, letter.origin.offset)
        for letter in evidence.letters(site.bootstrap_servers, topic, GROUP)
        if is_new(letter.origin.partition, letter.origin.offset)
    )
    assert parked == refused
    assert len(refused) > COUNT / 5


def decoder(topic: str) -> Callable[[ConsumerRecord], object]:
    """The service's own, which needs no settings: what it refuses alone, without worker, Kafka or Redis."""
    if str(LICENSING.folder) not in sys.path:
        sys.path.append(str(LICENSING.folder))
    handlers = importlib.import_module("organization_lookup.handlers")
    decode: Callable[[ConsumerRecord], object] = handlers.OrganizationChangeDecoder(
        Binding("oracle", topic, "kafka", group=GROUP)
    )
    return decode


def is_refused(decode: Callable[[ConsumerRecord], object], record: ConsumerRecord) -> bool:
    try:
        decode(record)
    except ConversionError:
        return True
    return False
