"""The credit demo over a line of 100 Mbit/s and 50 ms, and over loopback: seconds and bytes of each stage.

A relay between the two processes delays every byte as such a line would: by half the round trip each way, and by a
queue that is emptied at the line's rate. It replaces ``tc netem`` in network namespaces, which needs the kernel module
sch_netem; TLS passes through it unchanged. TCP's own slow start is that of loopback, so the first seconds of a real
line are a little slower than this.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time

from bluetusk.demo.credit import CreditPlan, run

PIECE = 1 << 16


class Relay:
    """A line: each direction delays by `delay` seconds and passes `rate` bytes a second."""

    def __init__(self, target, rate, delay):
        self.host, _, port = target.rpartition(":")
        self.port, self.rate, self.delay = int(port), rate, delay
        self.passed = 0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._serve, args=(started,), daemon=True).start()
        started.wait(10)

    def _serve(self, started):
        asyncio.set_event_loop(self.loop)

        async def begin():
            server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            started.set()

        self.loop.run_until_complete(begin())
        self.loop.run_forever()

    async def _joined(self, reader, writer):
        there, back = await asyncio.open_connection(self.host, self.port)
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, reader, writer):
        queue = asyncio.Queue(64)  # what is on the line: 4 MiB, more than rate times delay

        async def deliver():
            while (item := await queue.get()) is not None:
                due, data = item
                await asyncio.sleep(max(0.0, due - self.loop.time()))
                writer.write(data)
                await writer.drain()
            writer.close()

        task = asyncio.ensure_future(deliver())
        free = 0.0  # when the line has sent all that came before
        try:
            while data := await reader.read(PIECE):
                self.passed += len(data)
                free = max(free, self.loop.time()) + len(data) / self.rate
                await queue.put((free + self.delay, data))
        except ConnectionError:
            pass
        await queue.put(None)
        await asyncio.gather(task, return_exceptions=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--key-size", type=int, default=2048)
    parser.add_argument("--mbit", type=float, default=100.0, help="Mbit/s (default: 100)")
    parser.add_argument("--rtt", type=float, default=50.0, help="round trip in ms (default: 50)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    args = parser.parse_args(argv)
    plan = CreditPlan(rows=args.rows, epochs=args.epochs, trees=args.trees, key_size=args.key_size)
    relays = []

    def route(address):
        relays.append(Relay(address, args.mbit * 125_000, args.rtt / 2000))
        return relays[-1].address

    found = {}
    for name, way in (("loopback", None), ("line", route)):
        start = time.perf_counter()
        found[name] = run(plan, route=way).summary
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(f"{args.rows} customers, {args.key_size} bits; the line: {args.mbit:g} Mbit/s, {args.rtt:g} ms round trip\n")
    print(f"| stage | loopback, s | line, s | MB to and fro |\n|{'---|' * 4}")
    for stage, there in found["line"]["stages"].items():
        here = found["loopback"]["stages"][stage]
        print(f"| {stage} | {here['seconds']:.1f} | {there['seconds']:.1f} | {there['bytes'] / 1e6:.2f} |")
    print(
        f"| all | {found['loopback']['seconds']:.1f} | {found['line']['seconds']:.1f} | {relays[0].passed / 1e6:.2f} |"
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
