#!/usr/bin/python3
"""A server of gRPC that greets (Debian: python3-grpcio). Messages are plain text, so that no .proto is needed.

    server.py NAME PORT
"""
import sys
import time
from concurrent import futures

import grpc


def hello(request, context):
    return b"hello %s, from %s" % (request, sys.argv[1].encode())


def watch(request, context):
    for i in range(3):
        yield b"%d" % i
        time.sleep(0.1)


def check(request, context):
    return b"\x08\x01"  # grpc.health.v1.HealthCheckResponse: SERVING


server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("demo.Greeter", {"Hello": grpc.unary_unary_rpc_method_handler(hello),
                                                          "Watch": grpc.unary_stream_rpc_method_handler(watch)}),
    grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})))
print("port", server.add_insecure_port(f"127.0.0.1:{sys.argv[2]}"), flush=True)
server.start()
server.wait_for_termination()
