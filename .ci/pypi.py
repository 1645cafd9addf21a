"""A receiver of webhooks and mails, written with other people's libraries, beside a server in memory."""

import base64
import datetime
import email
import email.policy
import http.server
import json
import queue
import socket
import subprocess
import sys
import threading
import urllib.request

from aiosmtpd.controller import Controller
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PATIENCE_S = 30
messages, mails = queue.Queue(), queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        messages.put((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        mails.put(envelope)
        return "250 queued"


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def post(server, path, body):
    headers = {
        "authorization": "Bearer " + server["secret_key"],
        "content-type": "application/json",
        "idempotency-key": "pypi-" + path,
    }
    url = server["url"] + "/api/v1" + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request, timeout=PATIENCE_S))


def check_webhook(secret):
    headers, body = messages.get(timeout=PATIENCE_S)
    verified = Webhook(secret).verify(body, headers)
    assert verified["type"] == "user.registered", verified
    for wrong_secret, wrong_body in [
        ("whsec_" + base64.b64encode(b"x" * 32).decode(), body),
        (secret, body.replace(b"usr_", b"usx_")),
    ]:
        try:
            Webhook(wrong_secret).verify(wrong_body, headers)
        except WebhookVerificationError:
            continue
        raise AssertionError("what was changed was verified all the same")
    print("ok standardwebhooks")


def check_mail():
    envelope = mails.get(timeout=PATIENCE_S)
    assert envelope.rcpt_tos == ["ada@example.com"], envelope.rcpt_tos
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["subject"] == "Welcome to Dev", mail["subject"]
    assert mail["message-id"].startswith("<dlv_"), mail["message-id"]
    assert not mail.defects, mail.defects
    for kind in ["plain", "html"]:
        part = mail.get_body((kind,))
        assert part is not None and not part.defects, kind
        assert "Hello Ad\u00e4" in part.get_content(), part.get_content()
    print("ok aiosmtpd")


def main():
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    smtp_port = free_port()
    smtp = Controller(Mailbox(), hostname="127.0.0.1", port=smtp_port)
    smtp.start()
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    servers = f'mail.servers=["smtp+plain://127.0.0.1:{smtp_port}"]'
    command = [sys.argv[1], "--set", servers, "dev", "--ephemeral", "--port", "0", "--print-json", "--clock-at", now]
    coffer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        server = json.loads(coffer.stdout.readline())
        url = f"http://127.0.0.1:{receiver.server_port}/hook"
        endpoint = post(server, "/webhook-endpoints", {"url": url, "event_types": ["user.registered"]})
        post(server, "/users", {"email": "ada@example.com", "first_name": "Ad\u00e4", "last_name": "L"})
        check_webhook(endpoint["secret"])
        check_mail()
    finally:
        coffer.stdin.close()
        coffer.wait(PATIENCE_S)
        smtp.stop()


main()
