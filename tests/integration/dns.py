"""A DNS server for tests, on a port of the kernel's choice, over UDP and TCP: any records, errors and silence."""
import ipaddress
import socket
import socketserver
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "AAAA": 28, "SRV": 33}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def encode_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode_name(data, at):
    labels = []
    while data[at]:
        size = data[at]
        labels.append(data[at + 1:at + 1 + size].decode("latin-1"))
        at += 1 + size
    return ".".join(labels).lower(), at + 1


def record_data(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "SRV":
        priority, weight, port, target = value
        return struct.pack("!HHH", priority, weight, port) + encode_name(target)
    return encode_name(value)


class DnsServer:
    """`set(name, kind, values, ttl)`; `fail(name, rcode)`; `silent = True` answers nothing at all."""

    def __init__(self, host="127.0.0.1", port=0):
        self.lock = threading.Lock()
        self.records, self.failures, self.asked = {}, {}, []
        self.silent, self.garbage = False, False
        self.negative_ttl = 1
        outer = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                answer = outer.answer(data, 1232)
                if answer:
                    sock.sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while size := self.rfile.read(2):
                    answer = outer.answer(self.rfile.read(struct.unpack("!H", size)[0]), 65535)
                    if answer:
                        self.wfile.write(struct.pack("!H", len(answer)) + answer)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.tcp = socketserver.ThreadingTCPServer((host, port), Tcp)
        self.tcp.daemon_threads = True
        self.port = self.tcp.server_address[1]
        self.udp = socketserver.ThreadingUDPServer((host, self.port), Udp)
        self.udp.daemon_threads = True
        self.udp.max_packet_size = 65535
        self.udp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for server in (self.udp, self.tcp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()

    def set(self, name, kind, values, ttl=1):
        with self.lock:
            self.records[name, kind] = (list(values), ttl)
            self.failures.pop(name, None)

    def remove(self, name, kind=None):
        with self.lock:
            for key in [k for k in self.records if k[0] == name and kind in (None, k[1])]:
                del self.records[key]

    def fail(self, name, rcode=SERVFAIL):
        """None: as it was before."""
        with self.lock:
            self.failures[name] = rcode
            if rcode is None:
                del self.failures[name]

    def count(self, name=None):
        with self.lock:
            return sum(1 for asked, _ in self.asked if name in (None, asked))

    def answer(self, query, limit):
        name, at = decode_name(query, 12)
        kind = struct.unpack("!H", query[at:at + 2])[0]
        with self.lock:
            self.asked.append((name, kind))
            if self.silent:
                return None
            failure = self.failures.get(name)
            if failure == "silent":
                return None
            if self.garbage:
                return query[:2] + b"\x81\x80" + b"\xff" * 9
            records, rcode = self.find(name, kind)
        if failure is not None:
            records, rcode = [], failure
        question = query[12:at + 4]
        answers = b"".join(records)
        authority = b"" if records else encode_name("test") + struct.pack("!HHIH", TYPES["SOA"], 1, self.negative_ttl, 22) + \
            b"\0\0" + struct.pack("!IIIII", 1, 1, 1, 1, self.negative_ttl)
        flags = 0x8180 | rcode
        if 12 + len(question) + len(answers) > limit:
            return query[:2] + struct.pack("!HHHHH", flags | 0x0200, 1, 0, 0, 0) + question
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 1 if authority else 0, 0) + question + answers + authority

    def find(self, name, kind):
        """Encoded records, through aliases, and the rcode."""
        found = []
        for _ in range(20):
            known = [k for k in self.records if k[0] == name]
            if not known:
                return found, NXDOMAIN if not found else NOERROR
            for _, wanted in known:
                if TYPES[wanted] in (kind, TYPES["CNAME"]):
                    values, ttl = self.records[name, wanted]
                    for value in values:
                        data = record_data(wanted, value)
                        found.append(encode_name(name) + struct.pack("!HHIH", TYPES[wanted], 1, ttl, len(data)) + data)
            alias = self.records.get((name, "CNAME"))
            if not alias:
                return found, NOERROR
            name = alias[0][0]
        return found, NOERROR
