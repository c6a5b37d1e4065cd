import argparse

from werkzeug.serving import make_server

import demo.newspaper
from demo.newspaper.pages import create_newspaper


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.newspaper", description=demo.newspaper.__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app-url", required=True, help="the origin that serves the widget")
    options = parser.parse_args()
    newspaper = create_newspaper(options.app_url)
    make_server("127.0.0.1", options.port, newspaper, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
