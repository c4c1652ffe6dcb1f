#!/usr/bin/env python3
"""Stands in for modeld at the helper socket: helper_peer.py SOCKET PORT LOG

Takes the listeners that it is given and answers every HTTP request with who the helper
says is calling, as JSON. Each line that the helper says goes to LOG.
"""
import http.server
import json
import socket
import socketserver
import sys
import threading
import time

path, port, log = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "a", buffering=1)
waiting = {}
lock = threading.Lock()
link = None


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, fd, way):
        socketserver.BaseServer.__init__(self, None, Handler)
        self.socket = socket.socket(fileno=fd)
        self.way = way


def text(address):
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with lock:
            number = len(waiting) + 1
            waiting[number] = [threading.Event(), None]
            ask = {"type": "who", "id": number, "peer": text(self.client_address),
                   "local": text(self.connection.getsockname())}
            link.sendall(json.dumps(ask).encode() + b"\n")
        waiting[number][0].wait(5)
        body = json.dumps({"way": self.server.way, "who": waiting[number][1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def serve():
    """One connection to the helper; its listeners end with it."""
    global link
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    link.sendall(json.dumps({"type": "hello", "port": port}).encode() + b"\n")
    servers, held = [], b""
    while True:
        data, fds, _, _ = socket.recv_fds(link, 1, 8)
        if not data:
            break
        if fds:
            servers.append(fds[0])
        held += data
        if data != b"\n":
            continue
        message = json.loads(held)
        held = b""
        print(json.dumps(message), file=log)
        if message["type"] == "listen":
            server = Server(servers[-1], message["way"])
            servers[-1] = server
            threading.Thread(target=server.serve_forever, daemon=True).start()
        elif message["type"] == "who":
            waiting[message["id"]][1] = message
            waiting[message["id"]][0].set()
        elif message["type"] == "refused":
            sys.exit(message["reason"])
    for server in servers:
        server.shutdown()
        server.server_close()


while True:
    try:
        serve()
    except OSError as e:
        print(json.dumps({"type": "error", "error": str(e)}), file=log)
    time.sleep(0.05)
