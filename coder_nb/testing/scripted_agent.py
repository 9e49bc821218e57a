"""An ACP agent that does what it is told, for tests: a real program, with nothing but the standard library.

Register it as an agent with ``settings.agents = {"scripted": scripted_agent.entry()}``, and prompt it in its small
language: commands, one a line or parted by ``;``, of which those of the prompt's last paragraph count. What is no
command is echoed.

* ``say TEXT`` · ``think TEXT`` · ``plan A, B`` · ``stream N MS [FILE]`` (N words, MS milliseconds apart, or at once as
  soon as there is such a file) ·
  ``clock N RATE`` (N words, RATE a second, each with its number and the time at which it was said)
* ``write PATH TEXT`` (a tool call that writes a file in its directory) · ``run COMMAND`` (of a shell) · ``ask TITLE``
  (a tool call that does nothing). In the mode ``ask`` all three ask for permission first, in ``edits`` the last two; in
  ``plan`` they are refused, in ``yolo`` allowed.
* ``usage IN OUT`` (with the answer to the prompt) · ``meta IN OUT`` (beside an empty text) · ``cost USD`` (cumulative)
* ``hang`` (until it is stopped) · ``deaf`` (also after that) · ``late MS`` (as hang; answers a Stop late, and talks on)
* ``mute`` (answers no request after this prompt) · ``hog MIB`` (of memory, which it keeps)
* ``die CODE`` · ``kill`` (itself) · ``half`` (a line, and exits) · ``garbage`` · ``badutf8`` · ``huge BYTES`` ·
  ``stderr BYTES`` · ``grandchild`` (leaves one in a session of its own)
* ``recall`` (says the earlier prompts of this native session, also after it was resumed) · ``pid`` · ``cwd`` ·
  ``env NAME`` · ``models`` (says which one is set)
* ``end REASON`` (the stop reason) · ``fail MESSAGE`` (an error for an answer) · ``update JSON`` (any session update) ·
  ``again`` (answers its previous prompt once more)
* ``call METHOD JSON`` (a request to the client, says its result or error; ``$T`` is the latest terminal) ·
  ``shell COMMAND`` (runs it in the client's terminal, in a tool call that it asks for) ·
  ``put PATH TEXT`` (asks, then has the client write the file) ·
  ``choose A, B`` (a form with one choice, says what was chosen) · ``form JSON`` (a form with these fields)
* ``blocks`` (says what the prompt consists of) · ``servers`` (says which MCP servers it was given) ·
  ``options`` (says how much it thinks)

How it starts is set by the variable ``SCRIPTED_AGENT``, a JSON object (see `entry`): ``auth`` (a login is needed),
``load``, ``resume``, ``fork``, ``list``, ``close``, ``images`` and ``files`` (whether it offers them; all by default),
``mcp`` (by which ways it reaches servers), ``forget`` (it knows no session any more), ``exit`` (ends at once with a
code), ``silent`` (answers nothing), ``protocol``, ``modes`` (false: it has none), ``stubborn`` (says yes to every mode
and stays in its own), ``turns`` (a list: what it does in
its first turns, in the same language, whatever the prompt).
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OPTIONS = "SCRIPTED_AGENT"
MODES = ("ask", "edits", "plan", "yolo")
MODELS = ("small", "large")


def entry(**options: Any) -> dict[str, Any]:
    """The entry for `settings.agents`; the options are those of the module's text."""
    modes = {"plan": "plan", "ask": "ask", "accept_edits": "edits", "bypass": "yolo"}
    return {
        "label": "Scripted",
        "argv": [sys.executable, __file__],
        "probe": [__file__, "--version"],
        "env": {OPTIONS: json.dumps(options)},
        "modes": {} if options.get("modes") is False else {ours: {"id": theirs} for ours, theirs in modes.items()},
    }


class Stopped(Exception):
    """The client has stopped the turn."""


class Agent:
    """The program: a thread reads, this one takes turns."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.turns: list[str] = list(options.get("turns", []))
        self.session = ""
        self.mode = "yolo"
        self.model = MODELS[0]
        self.effort = "low"
        self.servers: list[dict[str, Any]] = []
        self.blocks: list[dict[str, Any]] = []
        self.terminal = ""
        self.answered: dict[str, Any] = {}
        self.cost = 0.0
        self.kept = b""
        self.calls = 0
        self.requests = 0
        self.stopping = threading.Event()
        self.work: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.lock = threading.Lock()

    # The wire ---------------------------------------------------------------------------------------------------------

    def send(self, **message: Any) -> None:
        self.put(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def put(self, data: bytes) -> None:
        with self.lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def update(self, kind: str, /, **fields: Any) -> None:
        params = {"sessionId": self.session, "update": {"sessionUpdate": kind, **fields}}
        self.send(method="session/update", params=params)

    def ask_client(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.requests += 1
        self.send(id=f"r{self.requests}", method=method, params=params)
        while True:
            answer = self.answers.get()
            if answer.get("id") == f"r{self.requests}":
                return answer

    def read(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "method" not in message:
                self.answers.put(message)
            elif message["method"] == "session/cancel":
                self.stopping.set()
            else:
                self.work.put(message)
        self.work.put(None)

    def run(self) -> None:
        threading.Thread(target=self.read, daemon=True).start()
        while (message := self.work.get()) is not None:
            if "silent" in self.options or "id" not in message:
                continue
            try:
                result = self.serve(message["method"], message.get("params") or {})
            except RuntimeError as error:
                self.send(id=message["id"], error=error.args[0])
            else:
                self.send(id=message["id"], result=result)
                if message["method"] == "session/prompt":
                    self.answered = {"id": message["id"], "result": result}
                if message["method"] == "session/new":
                    commands = [{"name": "say", "description": "Says it", "input": {"hint": "TEXT"}}]
                    self.update("available_commands_update", availableCommands=commands)

    def serve(self, method: str, params: dict[str, Any]) -> Any:
        if method == "initialize":
            return self.hello()
        if method == "authenticate":
            self.options.pop("auth")
            return {}
        self.servers = params.get("mcpServers", self.servers)
        if method in ("session/new", "session/fork"):
            self.session = f"scripted-{os.getpid()}-{time.time_ns()}"
            return {"sessionId": self.new(params.get("sessionId")), **self.offers()}
        if method in ("session/load", "session/resume"):
            return self.again(method, params)
        if method == "session/list":
            return self.listed(params)
        if method == "session/close":
            (self.memory.parent / "closed").write_text(params["sessionId"])
            return {}
        if method == "session/set_mode":
            if not self.options.get("stubborn"):
                self.mode = params["modeId"]
            self.update("current_mode_update", currentModeId=self.mode)
            return {}
        if method == "session/set_config_option":
            setattr(self, params["configId"], params["value"])
            return self.offers()
        if method == "session/prompt":
            self.blocks = params["prompt"]
            return self.turn("".join(block.get("text", "") for block in params["prompt"]))
        raise RuntimeError({"code": -32601, "message": f"Method not found: {method}"})

    # Sessions ---------------------------------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        return {
            "protocolVersion": self.options.get("protocol", 1),
            "agentInfo": {"name": "scripted", "version": "1.0.0"},
            "authMethods": [
                {"id": "door", "name": "The door", "description": "knock at the door"},
                {"id": "key", "name": "A key", "type": "env_var", "vars": [{"name": "SCRIPTED_KEY"}]},
            ],
            "agentCapabilities": {
                "loadSession": self.options.get("load", True),
                "promptCapabilities": {
                    "image": self.options.get("images", True),
                    "embeddedContext": self.options.get("files", True),
                },
                "mcpCapabilities": {way: True for way in self.options.get("mcp", ("http",))},
                "sessionCapabilities": {
                    name: {} for name in ("resume", "fork", "list", "close") if self.options.get(name, True)
                },
            },
        }

    def new(self, origin: str | None) -> str:
        if self.options.get("auth"):
            raise RuntimeError({"code": -32000, "message": "Authentication required"})
        if origin is not None:
            known = self.memory.with_name(origin)
            if not known.exists():
                raise RuntimeError({"code": -32002, "message": "Resource not found"})
            self.memory.write_bytes(known.read_bytes())
        return self.session

    def listed(self, params: dict[str, Any]) -> dict[str, Any]:
        """One a page, so that whoever lists has to turn pages."""
        names = sorted(path.name for path in self.memory.parent.glob("scripted-*"))
        at = int(params.get("cursor") or 0)
        shown = [{"sessionId": name, "cwd": params["cwd"], "title": f"The {name}"} for name in names[at : at + 1]]
        stamp = "2026-11-21T10:00:00Z"
        shown += [{"sessionId": "elsewhere", "cwd": "/", "updatedAt": stamp}, {"nameless": 1}]
        more = {"nextCursor": str(at + 1)} if at + 1 < len(names) else {}
        return {"sessions": shown, **more}

    def offers(self) -> dict[str, Any]:
        models = [{"value": name, "name": name.title()} for name in MODELS]
        option = {"id": "model", "name": "Model", "category": "model", "type": "select"}
        efforts = [{"value": name, "name": name.title()} for name in ("low", "high")]
        effort = {"id": "effort", "name": "Effort", "category": "thought_level", "type": "select", "options": efforts}
        offered: dict[str, Any] = {
            "configOptions": [
                {**option, "currentValue": self.model, "options": models},
                {**effort, "currentValue": self.effort},
            ]
        }
        if self.options.get("modes", True):
            offered["modes"] = {
                "currentModeId": self.mode,
                "availableModes": [{"id": name, "name": name.title()} for name in MODES],
            }
        return offered

    def again(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.session = params["sessionId"]
        if self.options.get("forget") or not self.memory.exists():
            raise RuntimeError({"code": -32002, "message": "Resource not found"})
        if method == "session/load":
            for prompt in self.remembered():
                self.update("user_message_chunk", content={"type": "text", "text": prompt})
                self.update("agent_message_chunk", content={"type": "text", "text": f"(again) {prompt}"})
        return self.offers()

    @property
    def memory(self) -> Path:
        return Path(os.environ.get("HOME", "/tmp"), ".scripted-agent", self.session or "none")

    def remembered(self) -> list[str]:
        return list(json.loads(self.memory.read_text())) if self.memory.exists() else []

    # Turns ------------------------------------------------------------------------------------------------------------

    def turn(self, prompt: str) -> dict[str, Any]:
        self.stopping.clear()
        earlier = self.remembered()
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        half = self.memory.with_name(f"half of {self.memory.name}")  # whoever is killed here leaves no half memory
        half.write_text(json.dumps([*earlier, prompt]))
        half.replace(self.memory)
        answer: dict[str, Any] = {"stopReason": "end_turn"}
        try:
            for word, rest in commands(self.turns.pop(0) if self.turns else prompt):
                if word not in ("deaf", "late"):
                    self.pause(0)
                self.do(word, rest, earlier, answer)
        except Stopped:
            answer["stopReason"] = "cancelled"
        return answer

    def pause(self, seconds: float) -> None:
        if self.stopping.wait(seconds) if seconds else self.stopping.is_set():
            raise Stopped

    def do(self, word: str, rest: str, earlier: list[str], answer: dict[str, Any]) -> None:
        """One command; the tables below say which does what."""
        if word in _SAYS:
            self.say(_SAYS[word](self, rest, earlier))
        elif word in _DEEDS:
            _DEEDS[word](self, rest)
        elif word == "usage":
            given, out = map(int, rest.split())
            answer["usage"] = {"inputTokens": given, "outputTokens": out, "totalTokens": given + out}
        elif word == "end":
            answer["stopReason"] = rest
        elif word == "fail":
            raise RuntimeError({"code": -32603, "message": rest or "failed"})

    def say(self, text: str, kind: str = "agent_message_chunk", **fields: Any) -> None:
        self.update(kind, content={"type": "text", "text": text}, **fields)

    def think(self, rest: str) -> None:
        self.say(rest, "agent_thought_chunk")

    def stream(self, rest: str) -> None:
        count, ms, *hurry = rest.split()
        for number in range(int(count)):
            self.pause(0 if any(map(os.path.exists, hurry)) else int(ms) / 1000)
            self.say(f"word{number} ")

    def clock(self, rest: str) -> None:
        count, rate = map(int, rest.split())
        began = time.monotonic()
        for number in range(count):
            self.pause(max(0.0, began + number / rate - time.monotonic()))
            self.say(f"w{number}@{time.time_ns() // 1_000_000}" + ("\n\n" if number % 20 == 19 else " "))

    def plan(self, rest: str) -> None:
        items = [{"content": item.strip(), "priority": "medium", "status": "pending"} for item in rest.split(",")]
        self.update("plan", entries=items)

    def write(self, rest: str) -> None:
        name, _, text = rest.partition(" ")
        path = Path(name).absolute()
        old = path.read_text() if path.exists() else None
        content = [{"type": "diff", "path": str(path), "oldText": old, "newText": text + "\n"}]
        locations = [{"path": str(path)}]

        def deed() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

        self.tool("write_file", "edit", f"Write {name}", deed, content=content, locations=locations)

    def command(self, rest: str) -> None:
        def deed() -> str:
            shell = subprocess.Popen(
                rest,
                shell=True,
                text=True,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            while True:
                try:
                    return str(shell.communicate(timeout=0.05)[0])
                except subprocess.TimeoutExpired:
                    if self.stopping.is_set():
                        os.killpg(shell.pid, signal.SIGKILL)
                        shell.communicate()
                        raise Stopped from None

        self.tool("shell", "execute", rest, deed, rawInput={"command": rest})

    def ask(self, rest: str) -> None:
        self.tool("nothing", "other", rest or "Do nothing", lambda: "done")

    def tool(self, name: str, kind: str, title: str, deed: Callable[[], str | None], **fields: Any) -> None:
        self.calls += 1
        call: dict[str, Any] = {"toolCallId": f"call-{os.getpid()}-{self.calls}", "title": title, "kind": kind}
        meta = {"toolName": name}
        given = fields.pop("rawInput", {"title": title})
        self.update("tool_call", **call, status="pending", rawInput=given, _meta=meta)
        if not self.allowed({**call, **fields}, kind):
            refused = [{"type": "content", "content": {"type": "text", "text": "refused"}}]
            self.update("tool_call_update", toolCallId=call["toolCallId"], status="failed", content=refused)
            self.pause(0)
            return
        self.update("tool_call_update", toolCallId=call["toolCallId"], status="in_progress", **fields)
        output = deed()
        if output is not None:
            fields = {"content": [{"type": "content", "content": {"type": "text", "text": output}}]}
        self.update("tool_call_update", toolCallId=call["toolCallId"], status="completed", **fields)

    def allowed(self, call: dict[str, Any], kind: str) -> bool:
        if self.mode == "yolo" or (self.mode == "edits" and kind == "edit"):
            return True
        if self.mode == "plan":
            return False
        options = [
            {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
            {"optionId": "always", "name": "Always allow", "kind": "allow_always"},
            {"optionId": "no", "name": "Reject", "kind": "reject_once"},
        ]
        params = {"sessionId": self.session, "toolCall": call, "options": options}
        outcome = self.ask_client("session/request_permission", params).get("result", {}).get("outcome", {})
        return outcome.get("optionId") in ("yes", "always")

    def meta(self, rest: str) -> None:
        given, out = map(int, rest.split())
        self.say("", _meta={"usage": {"inputTokens": given, "outputTokens": out, "totalTokens": given + out}})

    def spend(self, rest: str) -> None:
        self.cost += float(rest)
        self.update("usage_update", used=10, size=1000, cost={"amount": self.cost, "currency": "USD"})

    def hang(self, _: str) -> None:
        self.pause(threading.TIMEOUT_MAX)

    def deaf(self, _: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1e6)

    def late(self, rest: str) -> None:
        self.stopping.wait()
        time.sleep(int(rest) / 1000)
        self.say("too late")
        raise Stopped

    def mute(self, _: str) -> None:
        self.options["silent"] = True

    def hog(self, rest: str) -> None:
        self.kept = b"x" * (int(rest) << 20)

    def die(self, rest: str) -> None:
        sys.stderr.write("the script says so\n")
        sys.stderr.flush()
        os._exit(int(rest or 1))

    def kill(self, _: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def garbage(self, _: str) -> None:
        self.put(b'this is no JSON\n{"neither": "is this"}\n[1, 2]\nnull\n')
        self.send(id=[1], method="fs/read_text_file", params={})

    def half(self, _: str) -> None:
        self.put(b'{"jsonrpc": "2.0", "method": "session/upd')
        os._exit(0)

    def huge(self, rest: str) -> None:
        self.say("x" * int(rest))

    def badutf8(self, _: str) -> None:
        head = json.dumps({"sessionId": self.session})[:-1]
        update = (
            b'"update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "a\xff\xfeb"}}'
        )
        self.put(
            b'{"jsonrpc": "2.0", "method": "session/update", "params": ' + head.encode() + b", " + update + b"}}\n"
        )

    def flood(self, rest: str) -> None:
        sys.stderr.write("e" * int(rest) + "\n")
        sys.stderr.flush()

    def grandchild(self, _: str) -> None:
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        pid = subprocess.Popen(sleeper, start_new_session=True, stdin=subprocess.DEVNULL).pid
        self.say(f"grandchild {pid}")

    def raw_update(self, rest: str) -> None:
        fields = json.loads(rest)
        self.update(fields.pop("sessionUpdate", "nameless"), **fields)

    def call(self, rest: str) -> None:
        method, _, params = rest.partition(" ")
        given = json.loads(params.replace("$T", self.terminal) or "{}")
        answer = self.ask_client(method, {"sessionId": self.session, **given})
        if "error" in answer:
            self.say(f"error {answer['error']['code']} {answer['error']['message']}")
            return
        self.terminal = answer["result"].get("terminalId", self.terminal)
        self.say(json.dumps(answer["result"]))

    def shell(self, rest: str) -> None:
        def deed() -> None:
            session = {"sessionId": self.session}
            made = self.ask_client("terminal/create", {**session, "command": rest})
            if "error" in made:
                self.say(f"error {made['error']['code']}")
                return
            place = {**session, **made["result"]}
            shown = [{"type": "terminal", "terminalId": place["terminalId"]}]
            self.update("tool_call_update", toolCallId=f"call-{os.getpid()}-{self.calls}", content=shown)
            self.ask_client("terminal/wait_for_exit", place)
            self.say(self.ask_client("terminal/output", place)["result"]["output"])
            self.ask_client("terminal/release", place)

        self.tool("shell", "execute", rest, deed, rawInput={"command": rest})

    def put_file(self, rest: str) -> None:
        name, _, text = rest.partition(" ")
        path = str(Path(name).absolute())

        def deed() -> None:
            given = {"sessionId": self.session, "path": path, "content": text + "\n"}
            answer = self.ask_client("fs/write_text_file", given)
            if "error" in answer:
                self.say(f"error {answer['error']['code']}")

        diff = {"type": "diff", "path": path, "oldText": None, "newText": text + "\n"}
        self.tool("write_file", "edit", f"Write {name}", deed, content=[diff])

    def choose(self, rest: str) -> None:
        names = [name.strip() for name in rest.split(",")]
        self.form(json.dumps({"pick": {"type": "string", "title": "Pick one", "enum": names}}))

    def form(self, rest: str) -> None:
        schema = {"type": "object", "properties": json.loads(rest)}
        params = {"sessionId": self.session, "mode": "form", "message": "Tell me", "requestedSchema": schema}
        self.say(json.dumps(self.ask_client("elicitation/create", params).get("result")))

    def answer_again(self, _: str) -> None:
        self.send(**self.answered)


_SAYS: dict[str, Callable[[Agent, str, list[str]], str]] = {
    "say": lambda agent, rest, earlier: rest,
    "recall": lambda agent, rest, earlier: f"I remember: {' | '.join(earlier)}",
    "pid": lambda agent, rest, earlier: str(os.getpid()),
    "env": lambda agent, rest, earlier: os.environ.get(rest, "(not set)"),
    "cwd": lambda agent, rest, earlier: os.getcwd(),
    "models": lambda agent, rest, earlier: agent.model,
    "options": lambda agent, rest, earlier: agent.effort,
    "blocks": lambda agent, rest, earlier: json.dumps(agent.blocks[1:]),
    "servers": lambda agent, rest, earlier: json.dumps(agent.servers),
    "echo": lambda agent, rest, earlier: f"You said: {rest}",
}
_DEEDS: dict[str, Callable[[Agent, str], None]] = {
    "think": Agent.think,
    "stream": Agent.stream,
    "clock": Agent.clock,
    "plan": Agent.plan,
    "write": Agent.write,
    "run": Agent.command,
    "ask": Agent.ask,
    "meta": Agent.meta,
    "cost": Agent.spend,
    "hang": Agent.hang,
    "deaf": Agent.deaf,
    "late": Agent.late,
    "mute": Agent.mute,
    "hog": Agent.hog,
    "die": Agent.die,
    "kill": Agent.kill,
    "garbage": Agent.garbage,
    "half": Agent.half,
    "huge": Agent.huge,
    "badutf8": Agent.badutf8,
    "stderr": Agent.flood,
    "grandchild": Agent.grandchild,
    "update": Agent.raw_update,
    "call": Agent.call,
    "shell": Agent.shell,
    "put": Agent.put_file,
    "choose": Agent.choose,
    "form": Agent.form,
    "again": Agent.answer_again,
}


def commands(prompt: str) -> Iterator[tuple[str, str]]:
    """The commands of a prompt; only its last paragraph counts, as what others said may stand before it."""
    for line in prompt.split("\n\n")[-1].replace(";", "\n").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word in _SAYS or word in _DEEDS or word in ("usage", "end", "fail"):
            yield word, rest
        elif word:
            yield "echo", line.strip()


def main() -> None:
    """The program."""
    options = json.loads(os.environ.get(OPTIONS) or "{}")
    if "--version" in sys.argv:
        sys.stdout.write("scripted 1.0.0\n")
    elif "exit" in options:
        sys.stderr.write("Error: the script says so\n")
        sys.exit(options["exit"])
    else:
        try:
            Agent(options).run()
        except BaseException:
            traceback.print_exc()
            os._exit(70)
        os._exit(0)  # without waiting for the thread that reads


if __name__ == "__main__":
    main()
