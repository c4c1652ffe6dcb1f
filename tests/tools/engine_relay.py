#!/usr/bin/env python3
"""An Engine that fails at first: engine_relay.py LISTEN ENGINE LOG HOW COUNT PATH

Passes every connection on to the Engine's socket, but the first COUNT that ask for PATH: those
get "error" (500) or "silence" (the end, without an answer). Those after them wait until there is
a file LOG.go, so that what holds in between can be looked at for as long as that takes. LOG gets a
line for each question: the seconds since the first, the path, and "failed" or "passed".
"""
import asyncio
import os
import sys
import time

listen, engine, log, how, count, path = sys.argv[1:]
left = int(count)
first = None

ERROR = (b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
         b"Content-Length: 26\r\nConnection: close\r\n\r\n" + b'{"message":"out of order"}')


async def pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def serve(reader, writer):
    global left, first
    head = await reader.readuntil(b"\r\n\r\n")
    asked = head.split()[1].decode().split("?")[0]
    fails = asked == path and left > 0
    left -= fails
    first = first or time.monotonic()
    print(f"{time.monotonic() - first:.3f} {asked} {'failed' if fails else 'passed'}",
          file=log_file, flush=True)
    if fails:
        writer.write(ERROR if how == "error" else b"")
    else:
        while asked == path and not os.path.exists(log + ".go"):
            await asyncio.sleep(0.01)
        engine_reader, engine_writer = await asyncio.open_unix_connection(engine)
        engine_writer.write(head)
        await asyncio.gather(pass_on(reader, engine_writer), pass_on(engine_reader, writer),
                             return_exceptions=True)
        engine_writer.close()
    writer.close()


async def main():
    server = await asyncio.start_unix_server(serve, listen)
    async with server:
        await server.serve_forever()


with open(log, "a") as log_file:
    asyncio.run(main())
