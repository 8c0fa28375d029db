#!/usr/bin/python3
"""A real gRPC client for the tests (Debian's python3-grpcio, so Debian's python3 runs it): reads one JSON object with a call from each line of
its input, and prints one with what came of it.

    {"kind": "unary" | "server" | "client" | "bidi" | "many", "method": "Unary", "send": ["text"…], "size": N, "timeout": S, "metadata": {…}}

    grpc_client.py ADDRESS [CA]
"""
import json
import sys
import threading

import grpc


def outcome(call, values):
    return {"values": values, "code": call.code().name, "details": call.details(), "initial": dict(call.initial_metadata() or ()),
            "trailing": {k: v if isinstance(v, str) else list(v) for k, v in call.trailing_metadata() or ()}}


def show(value):
    return value.decode() if len(value) < 200 else len(value)


def messages(order):
    if order.get("size"):
        return [b"x" * order["size"]] * order.get("times", 1)
    return [text.encode() for text in order.get("send", [""])]


def run(channel, order):
    path = f"/test.Echo/{order['method']}"
    options = {"timeout": order.get("timeout", 30), "metadata": tuple(order.get("metadata", {}).items())}
    sent = messages(order)
    try:
        if order["kind"] == "unary":
            value, call = channel.unary_unary(path).with_call(sent[0], **options)
            return outcome(call, [show(value)])
        if order["kind"] == "client":
            value, call = channel.stream_unary(path).with_call(iter(sent), **options)
            return outcome(call, [show(value)])
        if order["kind"] == "server":
            call = channel.unary_stream(path)(sent[0], **options)
            values = []
            for value in call:
                values.append(show(value))
                if len(values) == order.get("cancel_after"):
                    call.cancel()
                    return {"values": values}
            return outcome(call, values)
        if order["kind"] == "bidi":  # each message only when the answer to the one before has come
            answered = threading.Semaphore(1)

            def in_turn():
                for one in sent:
                    answered.acquire(timeout=20)
                    yield one
            call = channel.stream_stream(path)(in_turn(), **options)
            values = []
            for value in call:
                values.append(show(value))
                answered.release()
            return outcome(call, values)
        if order["kind"] == "many":
            unary = channel.unary_unary(path)
            calls = [unary.future(b"%d" % i, **options) for i in range(order["times"])]
            return {"values": sorted(int(c.result()) for c in calls)}
    except grpc.RpcError as error:
        return outcome(error, [])


def main():
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20), ("grpc.enable_retries", 0)]
    if len(sys.argv) > 2:
        with open(sys.argv[2], "rb") as ca:
            channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(ca.read()), options)
    else:
        channel = grpc.insecure_channel(sys.argv[1], options)
    for line in sys.stdin:
        print(json.dumps(run(channel, json.loads(line))), flush=True)


main()
