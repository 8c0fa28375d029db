"""Decoders of content codings, piece by piece. Python has none for brotli; the library's own, which Weir needs too, is called instead."""
import ctypes
import zlib


class Gzip:
    def __init__(self):
        self.decoder = zlib.decompressobj(31)

    def decode(self, data):
        return self.decoder.decompress(data)

    @property
    def complete(self):
        return self.decoder.eof and not self.decoder.unused_data


class Brotli:
    ERROR, SUCCESS, MORE_INPUT, MORE_OUTPUT = range(4)

    def __init__(self):
        self.library = ctypes.CDLL("libbrotlidec.so.1")
        self.library.BrotliDecoderCreateInstance.restype = ctypes.c_void_p
        self.state = ctypes.c_void_p(self.library.BrotliDecoderCreateInstance(None, None, None))
        self.complete = False

    def __del__(self):
        self.library.BrotliDecoderDestroyInstance(self.state)

    def decode(self, data):
        if self.complete and data:
            raise ValueError("bytes behind the end of a brotli stream")
        source, room = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(1 << 16)
        left, next_in, plain = ctypes.c_size_t(len(data)), ctypes.c_void_p(ctypes.addressof(source)), bytearray()
        while True:
            space, next_out = ctypes.c_size_t(len(room)), ctypes.c_void_p(ctypes.addressof(room))
            result = self.library.BrotliDecoderDecompressStream(self.state, ctypes.byref(left), ctypes.byref(next_in), ctypes.byref(space),
                                                                ctypes.byref(next_out), None)
            plain += room.raw[:len(room) - space.value]
            if result == self.ERROR:
                raise ValueError("no brotli")
            if result != self.MORE_OUTPUT:
                break
        self.complete = result == self.SUCCESS
        if self.complete and left.value:
            raise ValueError("bytes behind the end of a brotli stream")
        return bytes(plain)


DECODERS = {"gzip": Gzip, "br": Brotli}


def decode(coding, data):
    """The whole of a body; `coding` is None for identity."""
    if coding is None:
        return bytes(data)
    decoder = DECODERS[coding]()
    plain = decoder.decode(bytes(data))
    if not decoder.complete:
        raise ValueError(f"{coding} breaks off")
    return plain
