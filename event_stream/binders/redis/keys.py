"""The names of what a destination is made of. The braces keep all of it in one slot of a Redis Cluster.

prefix:{destination}            hash     partitions, retention, where each log starts, when each group was seen last
prefix:{destination}:0          stream   the log of partition 0; its consumer groups hold what each group has done
prefix:{destination}:of:group   stream   the partitions, as jobs that the group's members take and give back
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    prefix: str
    destination: str

    @property
    def topic(self) -> str:
        return f"{self.prefix}:{{{self.destination}}}"

    def log(self, partition: int) -> str:
        return f"{self.topic}:{partition}"

    def logs(self, partitions: int) -> list[str]:
        return [self.log(partition) for partition in range(partitions)]

    def shares(self, group: str) -> str:
        return f"{self.topic}:of:{group}"
