#!/usr/bin/python3
"""A real gRPC server for the tests (Debian's python3-grpcio, so Debian's python3 runs it): messages are bytes as they are. Prints its port.

    grpc_server.py NAME [PORT] [CERTIFICATE KEY]
"""
import sys
import threading
import time
from concurrent import futures

import grpc

NAME = sys.argv[1]
serving = {"": 1, "test.Echo": 1}
calls = []


def unary(request, context):
    calls.append(context.peer())
    seen = dict(context.invocation_metadata())
    if "fail" in seen:
        context.set_trailing_metadata((("x-trailer", "told"),))
        context.abort(grpc.StatusCode[seen["fail"]], "as you wish: 100 %")
    if "sleep" in seen:
        time.sleep(float(seen["sleep"]))
    context.send_initial_metadata((("x-server", NAME),))
    context.set_trailing_metadata((("x-trailer", "told"), ("x-bin-bin", b"\x00\xff")))
    return request


def server_stream(request, context):
    for i in range(int(request)):
        yield b"%d" % i
        if dict(context.invocation_metadata()).get("pause"):
            time.sleep(0.02)


def client_stream(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def bidi(requests, context):
    for request in requests:
        yield request[::-1]


def endless(request, context):
    """Until the client has gone."""
    gone = threading.Event()
    # Whoever gives no more answers isn't asked for one: the generator itself may never come to its end.
    context.add_callback(lambda: (calls.append("cancelled"), gone.set()))
    while not gone.wait(0.02):
        yield b"tick"


def health(request, context):
    service = request[2:].decode() if request else ""
    if service not in serving:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown")
    return bytes([8, serving[service]])


def set_health(request, context):
    service, _, status = request.decode().partition("=")
    serving[service] = int(status)
    return b""


def count(request, context):
    return b"%d" % calls.count(request.decode()) if request else b"%d" % len(calls)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=150), options=[("grpc.max_receive_message_length", 64 << 20)])
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Endless": grpc.unary_stream_rpc_method_handler(endless),
        "SetHealth": grpc.unary_unary_rpc_method_handler(set_health),
        "Count": grpc.unary_unary_rpc_method_handler(count),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),
                                     grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(health)})))
    address = f"127.0.0.1:{sys.argv[2] if len(sys.argv) > 2 else 0}"
    if len(sys.argv) > 4:
        with open(sys.argv[4], "rb") as key, open(sys.argv[3], "rb") as chain:
            port = server.add_secure_port(address, grpc.ssl_server_credentials([(key.read(), chain.read())]))
    else:
        port = server.add_insecure_port(address)
    server.start()
    print(port, flush=True)
    sys.stdin.read()  # until the test ends
    server.stop(0)


main()
