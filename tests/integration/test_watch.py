"""The configuration watched on request: however its files are replaced, the new one comes into use; a bad one changes nothing."""
import json
import os
import tempfile

from harness import Daemon, WeirTest, config, response, wait_until


class Watch(WeirTest):
    def setUp(self):
        self.a = self.origin(lambda m, c: response(200, b"a"))
        self.b = self.origin(lambda m, c: response(200, b"b"))
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def shape(self, origin, **more):
        return config({"x": origin.url}, watch=True, **more)

    def wait_for(self, daemon, text):
        wait_until(lambda: daemon.get("/").text == text, what=lambda: f"{text}\n{daemon.logs()}")

    def text_of(self, daemon, configuration):
        """As Daemon.write puts it into the file."""
        daemon.write(configuration)
        with open(daemon.path) as file:
            return file.read()

    def test_a_new_file_in_its_place(self):
        daemon = self.weir(self.shape(self.a))
        self.assertEqual(daemon.get("/").text, "a")
        daemon.write(self.shape(self.b))
        self.wait_for(daemon, "b")
        changed = daemon.wait_event("config_file_changed")
        self.assertEqual(changed.fields["file"], daemon.path)
        self.assertEqual(daemon.metrics().sum("weir_config_reloads_total", result="ok"), 1)

    def test_written_in_place(self):
        daemon = self.weir(self.shape(self.a))
        other = self.weir(self.shape(self.b))
        with open(other.path) as file:
            text = file.read().replace(other.directory, daemon.directory)
        for chunk in (text[:50], text):  # half a file, closed, is a bad one, and changes nothing
            with open(daemon.path, "w") as file:
                file.write(chunk)
        self.wait_for(daemon, "b")

    def test_removed_and_made_again(self):
        daemon = self.weir(self.shape(self.a))
        os.rename(daemon.path, daemon.path + ".old")
        daemon.wait_event("config_file_gone")
        self.assertEqual(daemon.get("/").text, "a")
        daemon.write(self.shape(self.b))
        self.wait_for(daemon, "b")
        self.assertEqual(daemon.metrics().sum("weir_config_reloads_total", result="failed"), 0)

    def test_symlinks_as_kubernetes_swaps_them(self):
        daemon = self.weir(self.shape(self.a))
        texts = [self.text_of(daemon, self.shape(o, routes=[{"pool": "app"}])) for o in (self.a, self.b)]
        # weir.yaml -> ..data/weir.yaml, ..data -> ..1; a new version is ..2, and ..data is renamed to it.
        for i, text in enumerate(texts, 1):
            os.mkdir(os.path.join(self.directory, f"..{i}"))
            with open(os.path.join(self.directory, f"..{i}", "weir.yaml"), "w") as file:
                file.write(text)
        os.symlink("..1", os.path.join(self.directory, "..data"))
        os.symlink("..data/weir.yaml", os.path.join(self.directory, "weir.yaml"))
        os.unlink(daemon.path)
        os.symlink(os.path.join(self.directory, "weir.yaml"), daemon.path)
        self.wait_for(daemon, "a")
        before = daemon.marker()
        os.symlink("..2", os.path.join(self.directory, "..tmp"))
        os.rename(os.path.join(self.directory, "..tmp"), os.path.join(self.directory, "..data"))
        daemon.wait_event("reloaded", since=before)
        self.wait_for(daemon, "b")
        # And the target itself, written in place.
        before = daemon.marker()
        with open(os.path.join(self.directory, "..2", "weir.yaml"), "w") as file:
            file.write(texts[0])
        daemon.wait_event("reloaded", since=before)
        self.wait_for(daemon, "a")

    def test_a_bad_file_changes_nothing(self):
        daemon = self.weir(self.shape(self.a))
        daemon.write("listeners: { web: { bind: \"127.0.0.1:0\", binds: 1 } }\npools: { app: { backends: { a: nonsense } } }\nroutes: [ { pool: app } ]\n")
        self.assertIn("weir.yaml:1:", daemon.wait_event("config_error").fields["at"])
        daemon.wait_event("reload_failed")
        self.assertEqual(daemon.get("/").text, "a")
        daemon.write(self.shape(self.b))
        self.wait_for(daemon, "b")
        self.assertEqual(daemon.metrics().sum("weir_config_reloads_total", result="failed"), 1)

    def test_included_files_and_what_the_configuration_reads(self):
        folder = os.path.join(self.directory, "conf.d")
        os.mkdir(folder)
        page = os.path.join(self.directory, "404.html")
        with open(page, "w") as file:
            file.write("<p>old</p>")
        main = {**config(pools={"app": {"backends": {"x": self.a.url}}}, routes=[{"match": {"path": "/"}, "pool": "app"}], watch=True,
                         error_pages={"404": page}), "include": [folder + "/*.yaml"]}
        daemon = self.weir(main)
        self.assertEqual(daemon.get("/n").status, 404)
        more = {"pools": {"new": {"backends": {"y": self.b.url}}}, "routes": [{"match": {"path": "/n"}, "pool": "new"}]}
        path = os.path.join(folder, "n.yaml")
        with open(path, "w") as file:
            json.dump(more, file)
        wait_until(lambda: daemon.get("/n").text == "b")
        os.unlink(path)
        wait_until(lambda: daemon.get("/n").status == 404)
        with open(page, "w") as file:
            file.write("<p>new</p>")
        wait_until(lambda: daemon.get("/n", headers=[("Accept", "text/html")]).text == "<p>new</p>")

    def test_what_is_the_same_is_no_reload(self):
        daemon = self.weir(self.shape(self.a))
        os.utime(daemon.path)
        daemon.write(self.shape(self.a))  # the same again
        with open(os.path.join(daemon.directory, "something"), "w") as file:
            file.write("else")
        before = daemon.marker()
        daemon.write(self.shape(self.b))
        daemon.wait_event("reloaded", since=before)
        self.assertEqual(daemon.metrics().sum("weir_config_generation"), 2)

    def test_it_is_off_by_itself_and_can_be_switched(self):
        daemon = self.weir(config({"x": self.a.url}))
        before = daemon.marker()
        daemon.reload(self.shape(self.a))
        daemon.wait_event("watching", since=before)
        daemon.write(self.shape(self.b))
        self.wait_for(daemon, "b")
        self.assertEqual(len([e for e in daemon.events if e.name == "watching"]), 1)

    def test_by_the_command_line(self):
        daemon = Daemon(config({"x": self.a.url}), arguments=["--watch"])
        self.addCleanup(daemon.stop)
        daemon.write(config({"x": self.b.url}))
        self.wait_for(daemon, "b")
