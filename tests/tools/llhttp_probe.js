// What llhttp, the parser inside Node.js, makes of messages: the same records on
// stdin and the same JSON on stdout as http_probe.c. Strict: no leniency flag.
//
// Messages are fed byte by byte, up to the end of the first, so that the place
// where llhttp ends a message is known exactly.
"use strict";
const { HTTPParser, methods } = require("_http_common");
const MAX_HEAD = 1 << 20;

function probe(kind, message) {
  const type = kind === "request" ? HTTPParser.REQUEST : HTTPParser.RESPONSE;
  const parser = new HTTPParser();
  parser.initialize(type, {}, MAX_HEAD, HTTPParser.kLenientNone);
  const flat = [];
  const body = [];
  const out = { outcome: "more" };
  let target = "";
  let inHead = true;
  parser[HTTPParser.kOnHeaders] = (fields, url) => {
    if (!inHead) return; // a trailer
    flat.push(...fields);
    target += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, fields, method, url, status, reason,
                                           upgrade, keepAlive) => {
    inHead = false;
    flat.push(...(fields || []));
    Object.assign(out, { minor, method: methods[method] || "", target: target + (url || ""),
                         status: status || 0, keep_alive: keepAlive });
    return kind === "response-to-head" ? 1 : 0;
  };
  parser[HTTPParser.kOnBody] = (piece) => body.push(Buffer.from(piece));
  parser[HTTPParser.kOnMessageComplete] = () => { out.outcome = "done"; };

  let used = 0;
  let error;
  while (used < message.length && out.outcome === "more" && !error) {
    const r = parser.execute(message.subarray(used, used + 1));
    if (r instanceof Error && out.outcome === "more") error = r;
    used++;
  }
  // The end of the connection ends a response that has no other end.
  if (out.outcome === "more" && !error && type === HTTPParser.RESPONSE) parser.finish();
  parser.close();
  if (error) return { outcome: "refused", reason: error.code };
  if (out.outcome !== "done") return { outcome: "more" };
  const fields = [];
  for (let i = 0; i < flat.length; i += 2) fields.push({ name: flat[i], value: flat[i + 1] });
  return { ...out, used, fields, body: Buffer.concat(body).toString("latin1") };
}

const input = require("fs").readFileSync(0);
for (let at = 0; at < input.length;) {
  const eol = input.indexOf(10, at);
  const [kind, n] = input.toString("latin1", at, eol).split(" ");
  at = eol + 1 + Number(n);
  console.log(JSON.stringify(probe(kind, input.subarray(eol + 1, at))));
}
