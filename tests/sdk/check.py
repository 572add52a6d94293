#!/usr/bin/env python3
"""The simulated Messages API checked by something that we did not write: the vendor's own Python SDK.

1. The SDK is a client of `deskhand sim`: streaming and not, tools, cache markers, token counts, errors by class, both API
   versions.
2. The requests of a whole `demo --exit`, recorded on their way, fit the SDK's request types, and are replayed to the
   simulator's strict rules under both API versions.

Called by `.ci/run` with the path of the binary, in an environment that holds the SDK; see `tests/sdk/run`.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

OPUS, SONNET = "claude-opus-4-7", "claude-sonnet-4-6"
OLD, NEW = "2023-06-01", "2026-10-21"
# Long enough for the cache of either model: above 2,048 tokens at 3.4 bytes a token.
LONG = "The shop's handbook. " + " ".join(f"Rule {n}: be exact, be kind, say what was done." for n in range(250))
TOOL = {
    "name": "get_customer",
    "description": "Reads the account of the ticket's customer. Call it before you promise anything.",
    "input_schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
}


class Simulators:
    """`deskhand sim` on a free port, until the block ends."""

    def __init__(self, binary):
        self.binary = binary

    def __enter__(self):
        command = [self.binary, "sim", "--listen", "127.0.0.1:0", "--seed", "7"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if found := re.search(r"Claude\s+(http\S+)\s+key (\S+)", line):
                self.url, self.key = found.groups()
                self.base = self.url.removesuffix("/claude")
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return self
        raise SystemExit("the simulators did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def client(self, version=NEW, **more):
        more = {"max_retries": 0, "api_key": self.key, **more}
        return anthropic.Anthropic(base_url=self.url, default_headers={"anthropic-version": version}, **more)

    def faults(self, spec):
        request = urllib.request.Request(f"{self.base}/_faults", data=spec.encode(), method="POST")
        urllib.request.urlopen(request).read()


def ask(**more):
    return {"model": SONNET, "max_tokens": 1_000, "messages": [{"role": "user", "content": "Work ticket 1."}], **more}


def raised(kind, act):
    try:
        act()
    except kind as error:
        return error
    except Exception as error:  # noqa: BLE001: whatever else came is the finding
        raise AssertionError(f"{type(error).__name__} instead of {kind.__name__}: {error}") from error
    raise AssertionError(f"nothing was raised instead of {kind.__name__}")


def as_a_client(sim):
    """Returns how many things were checked."""
    done = 0

    def check(true, what):
        nonlocal done
        assert true, what
        done += 1

    for version in (OLD, NEW):
        client = sim.client(version)
        for model in (SONNET, OPUS):
            extra = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}} if model == OPUS else {}
            request = ask(model=model, tools=[TOOL], **extra)
            whole = client.messages.create(**request)
            check(whole.type == "message" and whole.role == "assistant" and whole.model == model, whole)
            check(whole.id.startswith("msg_") and whole._request_id.startswith("req_"), whole)
            check(whole.stop_reason in ("tool_use", "end_turn") and whole.content, whole)
            check(whole.usage.input_tokens > 0 and whole.usage.output_tokens > 0, whole.usage)
            with client.messages.stream(**request) as stream:
                events = [event.type for event in stream]
                streamed = stream.get_final_message()
            check(events[0] == "message_start" and events[-1] == "message_stop", events)
            check(streamed.stop_reason == whole.stop_reason, (streamed, whole))
            kinds = lambda message: [block.type for block in message.content]
            check(kinds(streamed) == kinds(whole), (kinds(streamed), kinds(whole)))
            check(streamed.usage.input_tokens == whole.usage.input_tokens, (streamed.usage, whole.usage))
            # The answer goes back as it came, with the results of its calls.
            calls = [block for block in streamed.content if block.type == "tool_use"]
            if calls:
                results = [{"type": "tool_result", "tool_use_id": call.id, "content": "{}"} for call in calls]
                echo = [block.model_dump(exclude_none=True) for block in streamed.content]
                thread = [*request["messages"], {"role": "assistant", "content": echo}]
                again = client.messages.create(**{**request, "messages": [*thread, {"role": "user", "content": results}]})
                check(again.stop_reason is not None, again)
                # Without them it is refused.
                missing = {**request, "messages": [*thread, {"role": "user", "content": "And?"}]}
                error = raised(anthropic.BadRequestError, lambda: client.messages.create(**missing))
                check("tool_result" in str(error), error)
            counted = client.messages.count_tokens(model=model, messages=request["messages"], tools=[TOOL])
            check(counted.input_tokens > 0, counted)
            info = client.models.retrieve(model)
            check(info.id == model, info)

            system = [{"type": "text", "text": f"{version} {LONG}", "cache_control": {"type": "ephemeral"}}]
            first = client.messages.create(**ask(model=model, system=system)).usage
            second = client.messages.create(**ask(model=model, system=system)).usage
            check(first.cache_creation_input_tokens > 2_048 and not first.cache_read_input_tokens, first)
            check(second.cache_read_input_tokens == first.cache_creation_input_tokens, (first, second))
            check(second.input_tokens == first.input_tokens and not second.cache_creation_input_tokens, second)
            split = first.cache_creation
            check(split.ephemeral_5m_input_tokens == first.cache_creation_input_tokens, split)

            prefill = ask(model=model, messages=[*ask()["messages"], {"role": "assistant", "content": "{"}])
            raised(anthropic.BadRequestError, lambda: client.messages.create(**prefill))
        check(len(list(client.models.list())) >= 2, "the list of models")

        # Sampling parameters are gone from the new version, on every model. The SDK has no such argument any more.
        warm = lambda: client.messages.create(**ask(), extra_body={"temperature": 0.5})
        if version == NEW:
            check("Extra inputs are not permitted" in str(raised(anthropic.BadRequestError, warm)), "temperature")
        else:
            check(warm().content, "temperature was refused under the old version")

    client = sim.client()
    send = lambda **more: client.messages.create(**ask(**more))
    error = raised(anthropic.AuthenticationError, lambda: sim.client(api_key="wrong").messages.create(**ask()))
    check(error.status_code == 401 and error.request_id, error)
    error = raised(anthropic.NotFoundError, lambda: send(model="claude-none"))
    check(error.body["error"]["type"] == "not_found_error", error.body)
    error = raised(anthropic.BadRequestError, lambda: send(messages=[]))
    check(error.body["error"]["type"] == "invalid_request_error", error.body)
    manual = {"type": "enabled", "budget_tokens": 2_000}
    raised(anthropic.BadRequestError, lambda: send(model=OPUS, max_tokens=4_000, thinking=manual))

    for fault, kind, status, word in (
        ("401", anthropic.AuthenticationError, 401, "authentication_error"),
        ("403", anthropic.PermissionDeniedError, 403, "permission_error"),
        ("404", anthropic.NotFoundError, 404, "not_found_error"),
        ("413", anthropic.APIStatusError, 413, "request_too_large"),
        ("429:7", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("spend_cap", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("own_limit", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("500", anthropic.InternalServerError, 500, "api_error"),
        ("504", anthropic.InternalServerError, 504, "timeout_error"),
        ("529", anthropic.InternalServerError, 529, "overloaded_error"),
    ):
        sim.faults(f"claude.{fault}=1x")
        error = raised(kind, send)
        check(error.status_code == status, (fault, error.status_code))
        check(error.body["error"]["type"] == word, (fault, error.body))
        check(error.body["request_id"] == error.response.headers["request-id"], (fault, error.body))
        header = error.response.headers.get("retry-after")
        check((header is not None) == (fault == "429:7"), (fault, header))
        check("anthropic-ratelimit-requests-remaining" in error.response.headers, fault)
    # What the SDK tries again comes through.
    for fault in ("529", "500", "429:0"):
        sim.faults(f"claude.{fault}=1x")
        check(sim.client(max_retries=1).messages.create(**ask()).content, fault)

    def streaming():
        with client.messages.stream(**ask()) as stream:
            return stream.get_final_message()

    for fault, kind in (("error_event", anthropic.APIStatusError), ("error_event_api", anthropic.APIStatusError)):
        sim.faults(f"claude.{fault}=1x")
        check(raised(kind, streaming), fault)
    sim.faults("claude.cut_stream=1x")
    check(raised(Exception, streaming), "cut_stream")
    for fault in ("ping_storm", "unknown_event", "unknown_block", "unknown_stop_reason", "refusal", "empty_end_turn"):
        sim.faults(f"claude.{fault}=1x")
        check(streaming().stop_reason, fault)
    sim.faults("none")
    return done


class Recorder(ThreadingHTTPServer):
    """Stands between a demo and the simulator; keeps what is asked."""

    def __init__(self, to):
        super().__init__(("127.0.0.1", 0), Handler)
        self.to, self.seen, self.lock = to, [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if body:
            with self.server.lock:
                self.server.seen.append((self.path, json.loads(body)))
        kept = {name: self.headers[name] for name in ("anthropic-version", "content-type") if self.headers[name]}
        kept["x-api-key"] = self.server.key
        request = urllib.request.Request(self.server.to + self.path, data=body or None, headers=kept, method=self.command)
        try:
            response = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            response = error
        text = response.read()
        self.send_response(response.status)
        for name, value in response.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def recorded(binary, sim):
    """The requests of a whole demo."""
    recorder = Recorder(sim.url)
    recorder.key = sim.key
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "demo", "--exit", "--json", "--seed", "7", "--listen", "127.0.0.1:0", "--data", folder]
        command += ["--model-url", f"http://127.0.0.1:{recorder.server_address[1]}"]
        environment = {**os.environ, "ANTHROPIC_API_KEY": sim.key}
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    recorder.shutdown()
    report = json.loads(ran.stdout)
    assert report["at_rest"] and all(guarantee["held"] for guarantee in report["guarantees"]), ran.stdout[-2_000:]
    return recorder.seen


def of_a_demo(binary, sim):
    streaming, plain, count = MessageCreateParamsStreaming, MessageCreateParamsNonStreaming, MessageCountTokensParams
    seen = recorded(binary, sim)
    messages = [body for path, body in seen if path == "/v1/messages"]
    assert len(messages) > 60, f"only {len(messages)} requests were recorded"
    wrong = []
    for path, body in seen:
        kind = count if path.endswith("count_tokens") else streaming if body.get("stream") else plain
        try:
            TypeAdapter(kind).validate_python(body)
        except ValidationError as error:
            wrong.append(f"{path}: {error}")
        if more := set(body) - (kind.__required_keys__ | kind.__optional_keys__):
            wrong.append(f"{path}: fields that the SDK does not know: {sorted(more)}")
    assert not wrong, f"{len(wrong)} requests do not fit the SDK's types; the first: {wrong[0]}"
    # Each was issued by this simulator, so that it knows the thinking that it is shown again.
    for version in (OLD, NEW):
        client = sim.client(version)
        for path, body in seen:
            if path == "/v1/messages":
                client.post(path, body={**body, "stream": False}, cast_to=anthropic.types.Message)
            else:
                client.post(path, body=body, cast_to=anthropic.types.MessageTokensCount)
    return len(messages), len(seen) - len(messages)


def main():
    binary = sys.argv[1]
    with Simulators(binary) as sim:
        print(f"anthropic {anthropic.__version__} as a client: {as_a_client(sim)} checks")
    with Simulators(binary) as sim:
        messages, counts = of_a_demo(binary, sim)
        print(f"a demo's {messages} calls and {counts} counts fit the SDK's types and both API versions")


if __name__ == "__main__":
    main()
