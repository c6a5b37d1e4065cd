"""A mail server that takes every e-mail and keeps none; prints its port. For bench.emails."""

from __future__ import annotations

from socketserver import StreamRequestHandler, ThreadingTCPServer


class Sink(StreamRequestHandler):
    """As much of SMTP as a client needs that waits for each answer."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer until the client says goodbye or goes away."""
        self.wfile.write(b"220 sink\r\n")
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 Go on\r\n")
                self._swallow()
            self.wfile.write(b"250 OK\r\n")
            if command == b"QUIT":
                break

    def _swallow(self) -> None:
        end = b""
        while not end.endswith(b"\r\n.\r\n"):
            received = self.rfile.read1()
            if not received:
                return
            end = end[-4:] + received


if __name__ == "__main__":
    with ThreadingTCPServer(("127.0.0.1", 0), Sink) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
