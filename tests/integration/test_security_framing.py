"""Where a message ends: whatever is ambiguous is refused and closes the connection, and no origin sees a byte of it."""
from harness import Incomplete, SharedTest, WeirTest, chunked, config, echo, request, response, wait_until


def post(headers, body=b"", target="/UNIQUE", version=b"1.1"):
    return b"POST " + target.encode() + b" HTTP/" + version + b"\r\nHost: test.example\r\n" + headers + b"\r\n" + body


class Heads(SharedTest):
    """What the head alone decides."""

    def refuse_all(self, cases):
        for name, data, status in cases:
            for piece in (None, 1):
                with self.subTest(case=name, piece=piece):
                    self.assert_refused(data, status, piece)

    def test_length_and_coding_together(self):
        self.refuse_all([
            ("CL then TE", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"), 400),
            ("TE then CL", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
            ("CL 0 and TE", post(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400)])

    def test_transfer_encoding_is_exactly_chunked(self):
        self.refuse_all([
            ("quoted", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 400),
            ("parameter", post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"), 400),
            ("empty", post(b"Transfer-Encoding: \r\n"), 400),
            ("two lines", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
            ("twice in one", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
            ("chunked not last", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
            ("vertical tab before", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
            ("coding before it", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
            ("unknown coding", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501)])
        seen = self.assert_accepted(post(b"Transfer-Encoding: CHUNKED\r\n", chunked(b"abc"), "/upper"))
        self.assertEqual(seen.body, b"abc")

    def test_transfer_encoding_on_http_1_0(self):
        self.refuse_all([("1.0", post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", version=b"1.0"), 400)])

    def test_content_length_is_digits_once(self):
        values = [b"", b"+5", b"-5", b"0x5", b"5_0", b"5, 5", b"5,6", b"5 5", b"1" * 20, b"5\t", b"\xb2", b"five"]
        cases = [(v.decode("latin-1"), post(b"Content-Length: " + v + b"\r\n", b"hello"), 400) for v in values if v != b"5\t"]
        cases.append(("twice equal", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400))
        cases.append(("twice different", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400))
        self.refuse_all(cases)
        seen = self.assert_accepted(post(b"Content-Length:  0005\t\r\n", b"hello", "/zeros"))
        self.assertEqual(seen.all("content-length"), ["5"], "the length is written anew")

    def test_line_ends_controls_and_folds(self):
        def head(line):
            return b"GET /UNIQUE HTTP/1.1\r\nHost: test.example\r\n" + line + b"\r\n"
        self.refuse_all([
            ("bare LF after field", head(b"X-A: 1\n"), 400),
            ("bare LF ends head", b"GET /UNIQUE HTTP/1.1\nHost: test.example\n\n", 400),
            ("bare LF in request line", b"GET /UNIQUE HTTP/1.1\nHost: test.example\r\n\r\n", 400),
            ("bare CR in value", head(b"X-A: 1\r2\r\n"), 400),
            ("bare CR before CRLF", head(b"X-A: 1\r\r\n"), 400),
            ("NUL in value", head(b"X-A: 1\x002\r\n"), 400),
            ("control in value", head(b"X-A: 1\x012\r\n"), 400),
            ("DEL in value", head(b"X-A: 1\x7f2\r\n"), 400),
            ("fold with blank", head(b"X-A: 1\r\n 2\r\n"), 400),
            ("fold with tab", head(b"X-A: 1\r\n\t2\r\n"), 400),
            ("first line folded", b"GET /UNIQUE HTTP/1.1\r\n Host: test.example\r\n\r\n", 400)])
        seen = self.assert_accepted(b"GET /legal HTTP/1.1\r\nHost: test.example\r\nX-A: a\tb \xc3\xa9\xff\r\n\r\n")
        self.assertEqual(seen.all("x-a"), ["a\tb \xc3\xa9\xff"], "HTAB and bytes over 0x7f are legal and untouched")

    def test_field_names(self):
        def head(line):
            return b"GET /UNIQUE HTTP/1.1\r\nHost: test.example\r\n" + line + b"\r\n\r\n"
        self.refuse_all([
            ("empty name", head(b": x"), 400),
            ("space before colon", head(b"X-A : x"), 400),
            ("tab before colon", head(b"X-A\t: x"), 400),
            ("space inside", head(b"X A: x"), 400),
            ("no colon", head(b"X-A"), 400),
            ("8-bit name", head(b"X-\xe9: x"), 400),
            ("NUL in name", head(b"X-\x00: x"), 400),
            ("Content-Length with space", post(b"Content-Length : 5\r\n", b"hello"), 400),
            ("Transfer-Encoding with tab", post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n"), 400)])

    def test_bodies_on_get_head_delete_are_framed(self):
        for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
            with self.subTest(method=method):
                smuggled = b"GET /" + self.unique("smuggled").encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n"
                first, second = "/" + self.unique("framed"), "/" + self.unique("next")
                with self.daemon.client() as client:
                    client.send(request(method, first, body=smuggled) + request("GET", second))
                    self.assertEqual(client.read(method).status, 200)
                    self.assertEqual(client.read().status, 200)
                targets = self.origin_.targets()
                self.assertIn(second, targets)
                self.assertNotIn(smuggled.split(b" ")[1].decode(), targets)
                framed = next(r for r in self.origin_.requests if r.target == first)
                self.assertEqual(framed.body, smuggled)

    def test_empty_lines_before_a_request(self):
        self.assert_accepted(b"\r\n" + request("GET", "/after-empty-line"))

    def test_refusals_are_logged_and_counted(self):
        before = self.daemon.errors("bad_framing")
        self.assert_refused(post(b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400)
        self.daemon.wait_log(lambda r: r["cause"] == "bad_framing" and r["status"] == 400)
        wait_until(lambda: self.daemon.errors("bad_framing") > before)


class Chunks(SharedTest):
    """What the body decides: the head may have gone to the origin, but never a whole request."""

    def assert_broken(self, body, status=400, headers=b""):
        target = "/" + self.unique("chunk")
        with self.daemon.client() as client:
            client.send(post(b"Transfer-Encoding: chunked\r\n" + headers, body, target))
            answer = self.parse_one(client.read_to_end(), "POST")
            self.assertEqual(client.reader.ended, "eof")
        self.assertEqual(answer.status, status, answer.raw_head)
        barrier = "/" + self.unique("barrier")
        self.assertEqual(self.daemon.get(barrier).status, 200)
        self.assertNotIn(target, self.origin_.targets(), "the origin saw a complete request")
        for connection in list(self.origin_.connections):
            if target.encode() in connection.received:
                wait_until(lambda c=connection: c.ended, what="the end of the upstream connection of a broken request")

    def test_chunk_sizes(self):
        for body in (b"g\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n",
                     b"3 \r\nabc\r\n0\r\n\r\n", b"\r\nabc\r\n", b"0000000000000000000003\r\nabc\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n",
                     b"fffffffffffffffff\r\nabc\r\n", b"3_0\r\nabc\r\n0\r\n\r\n", b"3\r\r\nabc\r\n0\r\n\r\n"):
            with self.subTest(body=body):
                self.assert_broken(body)

    def test_crlf_after_data(self):
        for body in (b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n", b"3\r\nabc\rX0\r\n\r\n"):
            with self.subTest(body=body):
                self.assert_broken(body)

    def test_extensions_are_dropped(self):
        target = "/" + self.unique("extension")
        body = chunked(b"hello", b"world", extension=b';name="value;x"')
        for piece in (len(body), 1):
            seen = self.assert_accepted(post(b"Transfer-Encoding: chunked\r\n", body, target))
            self.assertEqual(seen.body, b"helloworld")
        self.assertNotIn(b"value;x", self.origin_.raw())

    def test_extensions_are_bounded(self):
        self.assert_broken(b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n")
        self.assert_broken(b"".join(b"1;" + b"a" * 100 + b"\r\nx\r\n" for _ in range(60)) + b"0\r\n\r\n")

    def test_bare_lf_and_controls_in_extension(self):
        self.assert_broken(b"3;a\nb\r\nabc\r\n0\r\n\r\n")
        self.assert_broken(b"3;a\x00b\r\nabc\r\n0\r\n\r\n")

    def test_request_trailers_are_dropped(self):
        body = chunked(b"hello", trailers=b"X-Trailer: 1\r\nAuthorization: secret\r\nHost: evil\r\n")
        seen = self.assert_accepted(post(b"Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n", body, "/trailers"))
        self.assertEqual(seen.body, b"hello")
        self.assertEqual(seen.trailers, [])
        self.assertNotIn(b"X-Trailer: 1", self.origin_.raw())
        self.assertNotIn(b"secret", self.origin_.raw())

    def test_trailers_are_bounded(self):
        self.assert_broken(chunked(b"x", trailers=b"".join(b"X-T%d: 1\r\n" % i for i in range(17))), 431)
        self.assert_broken(chunked(b"x", trailers=b"X-T: " + b"a" * 5000 + b"\r\n"), 431)

    def test_trailers_are_strict(self):
        for line in (b"X-T 1\r\n", b"X-T : 1\r\n", b" fold\r\n", b"X-T: \x00\r\n", b"X-T: 1\n"):
            with self.subTest(line=line):
                self.assert_broken(chunked(b"x", trailers=line))

    def test_every_split_of_a_chunked_body(self):
        body = chunked(b"a", b"bcd" * 7, trailers=b"X-T: 1\r\n")
        data = post(b"Transfer-Encoding: chunked\r\n", body, "/split")
        for cut in range(len(data) - len(body) - 4, len(data)):
            with self.daemon.client() as client:
                client.send(data[:cut]).send(data[cut:])
                answer = client.read("POST")
                self.assertEqual((answer.status, answer.body.endswith(b"\n\na" + b"bcd" * 7)), (200, True))

    def test_body_cut_short_by_the_client(self):
        for headers, body in ((b"Content-Length: 10\r\n", b"12345"), (b"Transfer-Encoding: chunked\r\n", b"5\r\n12345\r\n")):
            with self.subTest(headers=headers):
                target = "/" + self.unique("cut")
                with self.daemon.client() as client:
                    client.send(post(headers, body, target)).half_close()
                    client.read_to_end()
                self.assertEqual(self.daemon.get("/" + self.unique("barrier")).status, 200)
                self.assertNotIn(target, self.origin_.targets(), "a cut body arrived as a whole one")


class Upgrades(SharedTest):
    def test_h2c_is_never_offered(self):
        seen = self.assert_accepted(request("GET", "/h2c", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
                                                            "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}))
        self.assertFalse(seen.has("upgrade"))
        self.assertFalse(seen.has("http2-settings"))
        seen = self.assert_accepted(request("GET", "/settings", {"HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}))
        self.assertFalse(seen.has("http2-settings"))

    def test_upgrade_with_a_body_is_an_ordinary_request(self):
        seen = self.assert_accepted(request("POST", "/up", {"Connection": "Upgrade", "Upgrade": "websocket"}, b"body"))
        self.assertEqual(seen.body, b"body")
        self.assertFalse(seen.has("upgrade"))

    def test_upgrade_without_connection_is_dropped(self):
        seen = self.assert_accepted(request("GET", "/up2", {"Upgrade": "websocket"}))
        self.assertFalse(seen.has("upgrade"))


class Answers(WeirTest):
    """What an origin may not send."""

    def through(self, raw, method="GET", headers=(), close=False):
        """The client's view of an origin that answers `raw`: (message or Incomplete, the record of the log)."""
        def reply(message, connection):
            connection.send(raw)
            if close:
                return None
            connection.stall(20)
            return None
        origin = self.origin(reply)
        daemon = self.weir(config([origin], pool={"eject": {"after": 1000}}))
        client = self.client(daemon)
        client.send(request(method, "/", headers))
        try:
            answer = client.read(method)
        except Incomplete as error:
            answer = error
        record = daemon.wait_log(lambda r: True)
        wait_until(lambda: all(c.ended for c in origin.connections), what="the end of the upstream connection")
        return answer, record, origin

    def assert_bad(self, raw, **more):
        answer, record, origin = self.through(raw, **more)
        self.assertNotIsInstance(answer, Incomplete)
        self.assertEqual(answer.status, 502, answer.raw_head)
        self.assertIn("http_protocol_error", answer.header("proxy-status") or "")
        self.assertEqual(record["cause"], "upstream_bad_response")

    def test_both_lengths(self):
        self.assert_bad(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    def test_bad_lengths(self):
        for line in (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: -1\r\n", b"Content-Length: 5,6\r\n",
                     b"Content-Length: \r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: chunked, gzip\r\n"):
            with self.subTest(line=line):
                self.assert_bad(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nhello")

    def test_bad_status_lines(self):
        for line in (b"HTTP/1.1 099 Low", b"HTTP/1.1 600 High", b"HTTP/1.1 20 Two", b"HTTP/1.1 2000 Four", b"HTTP/1.1 2x0 Letter",
                     b"HTTP/2 200 OK", b"HTTP/1.1  200 OK", b"ICY 200 OK", b"garbage", b"HTTP/1.1 -20 OK", b"HTTP/1.1 200\x00OK", b""):
            with self.subTest(line=line):
                self.assert_bad(line + b"\r\nContent-Length: 2\r\n\r\nok")

    def test_bad_fields(self):
        for line in (b"X-A: a\x00b", b"X-A: a\x01b", b"X-A : b", b": b", b"X-A", b"X-A: a\r b", b"X-A: a\r\n fold"):
            with self.subTest(line=line):
                self.assert_bad(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 2\r\n\r\nok")

    def test_too_many_interim_answers(self):
        answer, record, _ = self.through(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 9 + response(200, b"ok"))
        self.assertEqual(answer.status, 502)
        self.assertLessEqual(len(answer.interim), 8)
        self.assertEqual(record["cause"], "upstream_bad_response")

    def test_101_that_nobody_asked_for(self):
        self.assert_bad(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

    def test_101_to_another_protocol(self):
        self.assert_bad(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
                        headers={"Connection": "Upgrade", "Upgrade": "websocket"})

    def test_status_line_without_reason(self):
        for line in (b"HTTP/1.1 200", b"HTTP/1.1 200 "):
            with self.subTest(line=line):
                origin = self.origin(lambda m, c, line=line: line + b"\r\nContent-Length: 2\r\n\r\nok")
                daemon = self.weir(config([origin]))
                answer = daemon.get("/")
                self.assertEqual((answer.status, answer.body), (200, b"ok"))

    def test_bytes_after_an_answer_end_the_connection(self):
        origin = self.origin(lambda m, c: response(200, b"ok") + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for _ in range(5):
                answer = client.get("/")
                self.assertEqual((answer.status, answer.body), (200, b"ok"), "an answer nobody asked for was delivered")
        self.assertEqual(len(origin.connections), 5, "a connection with excess bytes was used again")

    def test_body_behind_204_304_and_head(self):
        def reply(message, connection):
            status = int(message.target[1:])
            return response(status, length=False) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for status in (204, 304):
                self.assertEqual(client.get(f"/{status}").status, status)
                self.assertEqual(client.get("/304").status, 304)

    def test_early_answer_does_not_pool_the_connection(self):
        def handler(connection):
            connection.read_request(body=False)
            connection.send(response(413, b"too big"))
            connection.stall()
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(post(b"Content-Length: 10000000\r\n", b"x" * 1000, "/early"))
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (413, b"too big"))
            client.send_all_possible(b"x" * 200000)
        wait_until(lambda: origin.connections[0].ended, what="the end of the upstream connection")
        self.assertNotIn(b"GET", origin.raw())


class Expectations(WeirTest):
    timeout = 60

    def test_continue_is_relayed_from_the_origin(self):
        seen = []
        def handler(connection):
            message = connection.read_request(body=False)
            seen.append(message.header("expect"))
            seen.append(bytes(connection.reader.buffer))
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.reader.read_body(message, int(message.header("content-length")))
            connection.send(response(200, message.body))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool={"timeout": {"expect": "30s"}}))
        with daemon.client() as client:
            client.send(post(b"Expect: 100-Continue\r\nContent-Length: 5\r\n", target="/"))
            self.assertEqual(client.read("POST", interim=False).status, 100)
            client.send(b"hello")
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertEqual([s.lower() if isinstance(s, str) else s for s in seen], ["100-continue", b""])

    def test_final_answer_instead_of_continue(self):
        def handler(connection):
            connection.read_request(body=False)
            connection.send(response(401, b"no", {"Connection": "close"}))
            connection.stall(20)
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool={"timeout": {"expect": "30s"}}))
        with daemon.client() as client:
            client.send(post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", target="/"))
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.interim), (401, []))

    def test_body_is_taken_when_the_origin_says_nothing(self):
        origin = self.origin(echo)  # reads the body without ever sending 100
        daemon = self.weir(config([origin], pool={"timeout": {"expect": "200ms"}}))
        with daemon.client() as client:
            client.send(post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", "/"))
            answer = client.read("POST")
            self.assertEqual(answer.status, 200)
            self.assertTrue(answer.body.endswith(b"hello"))

    def test_other_expectations(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(post(b"Expect: 200-ok\r\nContent-Length: 5\r\n", b"hello", "/"))
            self.assertEqual(client.read("POST").status, 417)
        self.assertEqual(origin.count(), 0)

    def test_expectation_of_http_1_0_is_ignored(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", "/", b"1.0"))
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.interim), (200, []))
