"""What a request costs on its way through modeld: against nginx as a plain proxy, both in
front of the same engine, which is an nginx that answers a fixed completion."""

import contextlib
import json
import pathlib
import re
import subprocess
import tempfile

from bench import alternate, free_port, modeld, need, running, table

SECONDS = 3
ANSWER = json.dumps({"id": "x", "object": "chat.completion", "model": "null", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}})
ASK = json.dumps({"model": "null", "messages": [{"role": "user", "content": "Say hi." * 20}]})


def nginx(folder, port, location):
    conf = pathlib.Path(folder, f"{port}.conf")
    conf.write_text(f"""
worker_processes 1; daemon off; error_log stderr crit; pid {folder}/{port}.pid;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream engine {{ server 127.0.0.1:{location.get("upstream", 1)}; keepalive 32;
                     keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ {location["do"]} }} }}
}}""")
    return running([need("nginx"), "-p", folder, "-c", str(conf)], port)


def wrk(port, clients, script):
    out = subprocess.run([need("wrk"), "-t1", f"-c{clients}", f"-d{SECONDS}s", "--latency", "-s",
                          script, f"http://127.0.0.1:{port}/v1/chat/completions"],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", out).groups()
    p50 = float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
    return p50, float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def main():
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pathlib.Path(folder).chmod(0o755)
        script = f"{folder}/ask.lua"
        pathlib.Path(script).write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = [[{ASK}]]\n")
        engine, proxy = free_port(), free_port()
        stack.enter_context(nginx(folder, engine, {
            "do": f"default_type application/json; return 200 '{ANSWER}';"}))
        stack.enter_context(nginx(folder, proxy, {
            "upstream": engine, "do": 'proxy_pass http://engine; proxy_http_version 1.1; '
                                      'proxy_set_header Connection "";'}))
        config = json.dumps({"engines": {"null": {
            "kind": "openai", "url": f"http://127.0.0.1:{engine}/v1", "models": ["null"]}}})
        _, ours, _ = stack.enter_context(modeld(f"{folder}/store", config=config))
        ports = {"engine alone": engine, "nginx": proxy, "modeld": ours}
        one = alternate({n: lambda p=p: wrk(p, 1, script)[0] for n, p in ports.items()})
        eight = alternate({n: lambda p=p: wrk(p, 8, script)[1] for n, p in ports.items()})
        base = one["engine alone"]
        table("A request through the proxy",
              ["", "p50, 1 client", "time in the proxy", "requests/s, 8 clients", "of nginx"],
              [[n, f"{one[n]:.0f} us", f"{one[n] - base:+.0f} us", f"{eight[n]:.0f}",
                f"{eight[n] / eight['nginx']:.2f}"] for n in ports])


main()
