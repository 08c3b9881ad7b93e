"""Both services on servers that ask for TLS and a login, as users who may do no more than deploy/ allows them."""

import dataclasses
import os
import secrets
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import kafka
import psycopg
import pytest
import redis

from devstack.acls import create_acls, read_acls
from devstack.cluster import ServiceCluster, web, worker
from devstack.django_commands import LICENSING, ORGANIZATION, Project, manage
from devstack.environment import ROOT, service_environment
from devstack.errors import StackError
from devstack.ports import free_port
from devstack.process import start_in_parallel, stop_in_parallel
from devstack.servers import Servers
from devstack.topics import create_topics, read_topics
from devstack.waiting import wait_until
from devstack.wheels import postgres_program
from tests.e2e.world import DEADLINE_S, Watch, World, fresh
from tests.e2e.world import ORGANIZATION as ORGANIZATION_BODY
from tests.security.certificates import Authority
from tests.security.tls_servers import (
    DEPLOY,
    PlainPostgres,
    SecuredKafka,
    SecuredRedis,
    TlsPostgres,
    debian_postgres,
)

TOPIC = "orgChangeTopic"
PROJECTS = {"organization": ORGANIZATION, "licensing": LICENSING}


@dataclass(frozen=True, slots=True)
class Secured:
    """The servers, what each service is told of them, and the services."""

    folder: Path
    kafka: SecuredKafka
    redis: SecuredRedis
    postgres: TlsPostgres | PlainPostgres
    database_passwords: dict[str, str]
    platform: ServiceCluster
    world: World
    stranger: Authority
    """Has signed nothing that is in use."""

    def command(self, project: Project, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A `manage.py` command with a service's settings, some of them replaced."""
        own = self.platform.organization_settings if project == ORGANIZATION else self.platform.licensing_settings
        environment = service_environment({**own, **settings})
        return subprocess.run(
            project.command(*arguments), env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def database_url(self, user: str, database: str) -> str:
        return self.postgres.user_url(user, self.database_passwords[user], database)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured-servers")
    authority = Authority(folder / "certificates")
    programs = debian_postgres()
    postgres = PlainPostgres(folder) if programs is None else TlsPostgres(folder, programs, authority)
    broker, cache = SecuredKafka(folder, authority), SecuredRedis(folder, authority)
    with ExitStack() as cleanup:
        start_in_parallel([postgres, broker, cache])
        cleanup.callback(stop_in_parallel, [postgres, broker, cache])
        passwords = {name: secrets.token_hex(8) for name in PROJECTS}
        create_databases(postgres, passwords)
        for user in read_acls():
            broker.add_user(user)
        create_acls(broker.bootstrap_servers, read_acls(), broker.security("admin"))
        platform = ServiceCluster(
            Servers(postgres.url(), "", broker.bootstrap_servers, kafka_security=broker.security("admin")),
            folder,
            settings={"WEB_CONCURRENCY": "1", "ORGANIZATION_MAX_STALENESS_S": "120"},
            own_settings={
                project: {
                    **broker.environment(name),
                    "DATABASE_URL": postgres.user_url(name, passwords[name], name),
                    # The organization service has nothing to look for in Redis.
                    "REDIS_URL": cache.url() if project == LICENSING else "",
                }
                for name, project in PROJECTS.items()
            },
        )
        platform.prepare()
        cleanup.enter_context(platform)
        world = cleanup.enter_context(World(platform))
        stranger = Authority(folder / "stranger", "stranger")
        yield Secured(folder, broker, cache, postgres, passwords, platform, world, stranger)


def create_databases(postgres: TlsPostgres | PlainPostgres, passwords: dict[str, str]) -> None:
    environment = {
        # Debian's psql would look for a cluster of Debian's making.
        "PATH": f"{debian_postgres() or postgres_program('psql').parent}:{os.environ['PATH']}",
        "POSTGRES_USER": "postgres",
        **{f"{name.upper()}_DB_PASSWORD": password for name, password in passwords.items()},
    }
    with psycopg.connect(postgres.url()) as connection:
        about = connection.info
        parameters = about.get_parameters()
        environment |= {"PGHOST": about.host, "PGPORT": str(about.port), "PGPASSWORD": about.password}
    for name in ("sslmode", "sslrootcert"):
        if name in parameters:
            environment[f"PG{name.upper()}"] = parameters[name]
    subprocess.run([DEPLOY / "postgres" / "create-databases.sh"], env=environment, check=True)


def test_a_change_gets_from_the_click_to_the_evicted_copy(secured: Secured) -> None:
    world = secured.world
    customer = world.customer()
    world.cached(customer)
    watch, correlation_id, contact = world.watch_workers(), fresh("id"), fresh("contact")

    world.change(customer, contact, correlation_id=correlation_id)

    watch.eviction(customer.id, correlation_id)
    assert world.lookup(customer, 0).contact == contact
    assert world.published(customer.id).published


def test_a_poison_message_is_parked_listed_and_replayed_by_a_person_only(secured: Secured) -> None:
    watch, key = secured.world.watch_workers(), str(uuid.uuid4())
    operator = secured.kafka.environment("licensing-operator")
    with closing(producer(secured, "licensing-operator")) as poisoner:
        poisoner.send(TOPIC, key=key.encode(), value=b"no JSON").get(DEADLINE_S)

    parked = watch.wait("dead_letter.parked")["id"]

    listed = secured.command(LICENSING, "dead_letters", "list")
    assert listed.returncode == 0, listed.stderr
    assert parked in listed.stdout

    def refused() -> bool:
        answer = secured.command(LICENSING, "dead_letters", "replay", parked)
        assert answer.returncode != 0
        assert "Traceback" not in answer.stderr
        return "Kafka's ACLs do not allow it" in answer.stderr

    assert wait_until(refused, within_s=2 * DEADLINE_S)
    watch = secured.world.watch_workers()

    def replay() -> bool:
        """On a busy machine a login may take longer than the half second that licensing gives Kafka for an answer."""
        return secured.command(LICENSING, "dead_letters", "replay", parked, **operator).returncode == 0

    assert wait_until(replay, within_s=2 * DEADLINE_S)
    # It is as unreadable as before.
    watch.wait("dead_letter.parked", id=parked)


def test_the_commands_need_no_further_right(secured: Secured) -> None:
    manage(ORGANIZATION, secured.platform.organization_settings, ["outbox_status"])
    manage(
        LICENSING,
        secured.platform.licensing_settings,
        ["cache_audit", "--sweep", "--repair"],
        ["cache_audit", "--until-caught-up", "--after", "0"],
        ["cache_inspect", str(uuid.uuid4())],
    )
    for project in PROJECTS.values():
        report = secured.command(project, "doctor").stdout
        assert f"ok       topic {TOPIC}" in report
        # It warns of the one broker.
        assert "\nfailed" not in report


def test_redis_was_not_asked_for_anything_that_the_user_may_not(secured: Secured) -> None:
    """After all of the above; every command of the cache protocol has been used by then, or is tried here."""
    with redis.Redis.from_url(secured.redis.url("admin")) as admin:
        denied = [entry["object"] for entry in admin.acl_log()]
    # redis-py tells its name and version, and goes on where it may not.
    assert set(denied) <= {"client|setinfo"}


# What is refused.


def test_who_writes_may_not_read_and_who_reads_may_not_write(secured: Secured) -> None:
    servers = [secured.kafka.bootstrap_servers]
    with closing(producer(secured, "licensing")) as writer, pytest.raises(kafka.errors.TopicAuthorizationFailedError):
        writer.send(TOPIC, b"forged").get(DEADLINE_S)
    reader = kafka.KafkaConsumer(bootstrap_servers=servers, group_id=None, **secured.kafka.security("organization"))
    with closing(reader):
        assert reader.topics() == {TOPIC}
        reader.assign([kafka.TopicPartition(TOPIC, 0)])
        reader.seek_to_beginning()
        with pytest.raises(kafka.errors.TopicAuthorizationFailedError):
            reader.poll(DEADLINE_S * 1000)
    for user in PROJECTS:
        with pytest.raises(StackError, match=f"does not allow this to {user}"):
            create_acls(servers[0], read_acls(), secured.kafka.security(user))
        topics = [topic for topic in read_topics() if topic.name == TOPIC]
        renamed = [dataclasses.replace(topic, name="another") for topic in topics]
        with pytest.raises(StackError, match=f"does not allow this to {user}"):
            create_topics(servers[0], renamed, secured.kafka.security(user))


@pytest.mark.parametrize(
    "attempt",
    [["GET", "session:1"], ["SET", "{o}x", "1"], ["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["ACL", "LIST"]],
    ids=" ".join,
)
def test_in_redis_licensing_has_its_own_keys_and_no_more(secured: Secured, attempt: list[str]) -> None:
    with redis.Redis.from_url(secured.redis.url()) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*attempt)


def test_nobody_else_gets_into_redis(secured: Secured) -> None:
    login = f"licensing:{secured.redis.passwords['licensing']}@"
    for url in (
        secured.redis.url(password="wrong"),
        secured.redis.url().replace(login, ""),
        secured.redis.url().replace(login, f"organization:{secured.database_passwords['organization']}@"),
    ):
        with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_in_postgresql_each_has_its_own_database(secured: Secured) -> None:
    for user, other in (("organization", "licensing"), ("licensing", "organization")):
        with psycopg.connect(secured.database_url(user, user)):
            pass
        with pytest.raises(psycopg.OperationalError, match=r"permission denied for database|no pg_hba\.conf entry"):
            psycopg.connect(secured.database_url(user, other))


def test_no_password_travels_in_plain_text(secured: Secured) -> None:
    if not (secured.redis.has_tls and isinstance(secured.postgres, TlsPostgres)):
        pytest.skip("the wheels of Valkey and PostgreSQL know no TLS; Debian's redis-server and postgresql do")
    with psycopg.connect(secured.database_url("licensing", "licensing")) as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
    plain = secured.database_url("licensing", "licensing").partition("?")[0]
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(f"{plain}?sslmode=disable")
    plain = secured.redis.url().partition("?")[0].replace("rediss://", "redis://")
    with redis.Redis.from_url(plain) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_database_that_cannot_prove_itself_is_not_told_the_password(secured: Secured) -> None:
    if not isinstance(secured.postgres, TlsPostgres):
        pytest.skip("the wheel of PostgreSQL knows no TLS; Debian's postgresql does")
    password = secured.database_passwords["organization"]
    url = secured.postgres.user_url("organization", password, "organization", authorities=secured.stranger.certificate)

    done = secured.command(ORGANIZATION, "migrate", "--check", DATABASE_URL=url)

    assert done.returncode != 0
    assert "certificate verify failed" in done.stderr
    assert password not in done.stdout + done.stderr


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_without_kafka_a_worker_says_what_is_wrong_and_waits(secured: Secured, wrong: str) -> None:
    stranger = str(secured.stranger.certificate)
    change = {"KAFKA_SASL_PASSWORD": "hush"} if wrong == "password" else {"KAFKA_SSL_CAFILE": stranger}
    refused = worker(f"refused-{wrong}", {**secured.platform.licensing_settings, **change}, folder=secured.folder)
    refused.spawn()
    watch = Watch([refused], from_start=True)
    try:
        told = watch.wait("kafka.refused")
        watch.wait("broker.unreachable")
        meant = "the login of 'licensing' by SCRAM-SHA-512 is refused" if wrong == "password" else "no TLS comes about"
        assert meant in told["error"]
        assert refused.is_running
    finally:
        code = refused.stop()
    assert code == 0
    log = refused.log.read_text()
    assert "Traceback" not in log
    assert "hush" not in log


def test_without_kafka_organizations_are_changed_all_the_same(secured: Secured) -> None:
    port = free_port()
    settings = {**secured.platform.organization_settings, "KAFKA_SASL_PASSWORD": "hush"}
    # The relay of the one with the right password leads: this one has to be alone to try.
    secured.platform.organization.stop()
    try:
        with web(ORGANIZATION, "refused-organization", settings, port=port, folder=secured.folder) as refused:
            watch = Watch([refused], from_start=True)
            created = httpx.post(f"http://127.0.0.1:{port}/v1/organization", json=ORGANIZATION_BODY, timeout=20)
            assert created.status_code == 201
            assert "the login of 'organization'" in watch.wait("kafka.refused")["error"]
            watch.wait("outbox.unreachable")
            assert len(watch.seen("kafka.refused")) == 1
    finally:
        secured.platform.organization.start()
    assert "hush" not in refused.log.read_text()
    assert secured.world.published(created.json()["id"]).published


def test_what_somebody_may_not_yet_is_begun_once_he_may(secured: Secured) -> None:
    # Without versions it keeps a cache of its own: a worker of another group may not share the usual one.
    own_cache = {"LICENSING_GROUP": "latecomers", "ORGANIZATION_SERVICE_VERSIONS": "none"}
    settings = secured.platform.licensing_settings | own_cache
    late = worker("late", settings, folder=secured.folder)
    late.spawn()
    watch = Watch([late], from_start=True)
    try:
        reason = watch.wait("worker.unavailable")["error"]
        assert "GroupAuthorizationFailedError: latecomers: Kafka's ACLs do not allow it" in reason
        rights = secured.folder / "latecomers.yaml"
        rights.write_text("users: {licensing: [{group: latecomers, may: [READ]}]}")
        create_acls(secured.kafka.bootstrap_servers, read_acls(rights), secured.kafka.security("admin"))
        watch.wait("worker.ready")
    finally:
        late.stop()


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_without_redis_lookups_go_on(secured: Secured, wrong: str) -> None:
    if wrong == "authority" and not secured.redis.has_tls:
        pytest.skip("the wheel of Valkey knows no TLS; Debian's redis-server does")
    customer, port = secured.world.customer(), free_port()
    url = (
        secured.redis.url(password="hush")
        if wrong == "password"
        else secured.redis.url(authorities=secured.stranger.certificate)
    )
    settings = {**secured.platform.licensing_settings, "REDIS_URL": url}
    with web(LICENSING, f"without-redis-{wrong}", settings, port=port, folder=secured.folder) as refused:
        answer = httpx.get(f"http://127.0.0.1:{port}{customer.license}", timeout=20)
        assert answer.status_code == 200
        assert answer.headers["Organization-Cache"] == "bypass"
        told = Watch([refused], from_start=True).wait("cache.unreachable")["error"]
    assert ("invalid username-password" if wrong == "password" else "certificate verify failed") in told
    assert "hush" not in refused.log.read_text()


def producer(secured: Secured, user: str) -> kafka.KafkaProducer:
    servers = [secured.kafka.bootstrap_servers]
    return kafka.KafkaProducer(bootstrap_servers=servers, enable_idempotence=False, **secured.kafka.security(user))
