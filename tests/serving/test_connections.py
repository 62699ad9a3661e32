"""What is written to a connection, and when it is sent."""

import asyncio

import pytest

from churnops.serving.transport import Corked


class Sent:
    """A transport that remembers what it was given at a time."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.sent.append(b"".join(parts))

    def close(self) -> None:
        self.sent.append("closed")

    def abort(self) -> None:
        self.sent.append("aborted")

    def is_closing(self) -> bool:
        return "closed" in self.sent

    def get_write_buffer_size(self) -> int:
        return 0


def _sent(*steps) -> list[bytes | str]:
    """What is sent when each of `steps` has a turn of the loop, to write in or do what it names."""

    async def run() -> list[bytes | str]:
        sent = Sent()
        corked = Corked(sent, asyncio.get_running_loop())
        for step in steps:
            for one in step:
                corked.write(one) if isinstance(one, bytes) else getattr(corked, one)()
            await asyncio.sleep(0)
        return sent.sent

    return asyncio.run(run())


def test_the_head_and_the_body_of_an_answer_are_sent_at_once():
    assert _sent([b"head", b"body"], [b"head2", b"body2"]) == [b"headbody", b"head2body2"]


def test_a_head_whose_body_takes_longer_is_sent_before_it():
    assert _sent([b"head"], [b"body"]) == [b"head", b"body"]


def test_all_that_is_written_is_sent_in_its_order():
    assert _sent([b"head", b"a", b"b", b"c"], [b"d"], []) == [b"heada", b"bc", b"d"]


@pytest.mark.parametrize("steps", [(["close"],), ([], ["close"])])
def test_what_is_held_is_sent_before_the_end(steps):
    first, *rest = steps
    assert _sent([b"head", b"body", b"more", *first], *rest) == [b"headbody", b"more", "closed"]


def test_what_is_held_is_not_sent_to_who_is_cut_off():
    assert _sent([b"head", "abort"]) == ["aborted"]
