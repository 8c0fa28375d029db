#!/usr/bin/python3
"""A client of gRPC (Debian: python3-grpcio): ten greetings, and a stream.

    client.py ADDRESS
"""
import sys

import grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    say_hello = channel.unary_unary("/demo.Greeter/Hello")
    for i in range(10):
        print(say_hello(b"caller %d" % i, timeout=5).decode())
    print("watch:", *(value.decode() for value in channel.unary_stream("/demo.Greeter/Watch")(b"", timeout=5)))
