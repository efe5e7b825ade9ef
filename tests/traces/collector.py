"""A collector of OpenTelemetry for tests: takes OTLP over HTTP, reads it by the official definitions
of OpenTelemetry, and prints what came, a line of JSON for each request."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

refusals = int(sys.argv[1])  # how many requests are answered that it is overloaded


def attributes(pairs):
    value = lambda it: getattr(it.value, it.value.WhichOneof("value"))
    return {it.key: value(it) for it in pairs}


def plain(span):
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "flags": span.flags,
        "from": span.start_time_unix_nano,
        "to": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "error": span.status.message if span.status.code == 2 else None,
    }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global refusals
        body = self.rfile.read(int(self.headers["content-length"]))
        if refusals > 0:
            refusals -= 1
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        came = {
            "path": self.path,
            "kind": self.headers["content-type"],
            "key": self.headers["x-key"],
            "resources": [attributes(it.resource.attributes) for it in request.resource_spans],
            "spans": [
                plain(span)
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ],
        }
        print(json.dumps(came), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
