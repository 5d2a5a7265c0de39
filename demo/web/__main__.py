"""The recogniser in a browser, microphone, files and benchmark:

    python -m demo.web [BUNDLE]                    http://localhost:8765/ on this machine
    python -m demo.web [BUNDLE] --host 0.0.0.0 --cert cert.pem --key key.pem      for a phone in the same network

Ctrl-C ends it. docs/browser.md tells more.
"""

import contextlib
import sys

from demo.web.server import PageServer, bundle_resources, page_resources, runtime_resources
from demo.web.vendor import runtime_files
from runtime.command import run_command
from runtime.errors import LotteryError
from runtime.options import add_trust_options, create_parser
from runtime.shipped import shipped_bundle


def _main(argv):
    parser = create_parser(
        "python -m demo.web",
        description="Serve the page that recognises speech in the browser with a bundle.",
        examples="  python -m demo.web\n  python -m demo.web bundles/an4\n"
        "  python -m demo.web bundles/an4 --host 0.0.0.0 --cert cert.pem --key key.pem",
    )
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        nargs="?",
        help="directory that lottery-export wrote (default: the recogniser that comes along)",
    )
    parser.add_argument("--port", type=int, default=8765, help="default: %(default)s; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: the whole network (default: this machine alone)")
    parser.add_argument(
        "--name",
        metavar="HOST",
        action="append",
        default=[],
        help="name that browsers call this machine by, beside localhost and numbers; may be repeated",
    )
    parser.add_argument(
        "--cert", metavar="PEM", help="certificate, for HTTPS: without it other machines get no microphone"
    )
    parser.add_argument("--key", metavar="PEM", help="its private key (default: in the certificate's file)")
    add_trust_options(parser)
    arguments = parser.parse_args(argv)
    if arguments.key and not arguments.cert:
        raise LotteryError("--key without --cert", hint="give both; docs/browser.md has the openssl command")
    bundle = arguments.bundle or shipped_bundle()
    # The bundle first: what is wrong with it should not wait for npm.
    bundled = bundle_resources(
        bundle,
        require_signature=arguments.require_signature,
        allow_any_operators=arguments.allow_any_operators,
    )
    resources = page_resources() | bundled | runtime_resources(runtime_files())
    server = PageServer(
        resources,
        host=arguments.host,
        port=arguments.port,
        names=arguments.name,
        certificate=arguments.cert,
        key=arguments.key,
        log=lambda line: print(line, file=sys.stderr, flush=True),
    )
    with server, contextlib.suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        if arguments.host not in ("127.0.0.1", "localhost", "::1") and not arguments.cert:
            print("note: over plain HTTP other machines get files and benchmark, but no microphone", file=sys.stderr)
        print("Ctrl-C ends the server", file=sys.stderr, flush=True)
        server.serve_forever()
    return 0


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
