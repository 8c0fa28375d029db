"""Requests on one connection by python3-h2, for /usr/bin/python3: ADDRESS COUNT."""
import socket
import sys

import h2.connection
import h2.events

host, _, port = sys.argv[1].rpartition(":")
count = int(sys.argv[2])
sock = socket.create_connection((host, int(port)), timeout=30)
connection = h2.connection.H2Connection()
connection.initiate_connection()
bodies, ended = {}, 0
for _ in range(count):
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":path", "/20000"), (":authority", "a.test")], end_stream=True)
    bodies[stream] = 0
sock.sendall(connection.data_to_send())
while ended < count:
    for event in connection.receive_data(sock.recv(65536)):
        if isinstance(event, h2.events.DataReceived):
            bodies[event.stream_id] += len(event.data)
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            ended += 1
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            sys.exit(f"{event}")
    sock.sendall(connection.data_to_send())
assert set(bodies.values()) == {20000}, bodies
print(f"{count} answers of 20000 bytes")
