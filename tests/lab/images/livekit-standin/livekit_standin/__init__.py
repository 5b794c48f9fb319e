"""A stand-in for livekit-server, for a lab where the real one cannot be had: it carries no media and has no TURN.

What it shares with the real one is what `make demo` meets: the configuration's strictness, the ports, the
health check that follows Redis, rooms that live on one node while any node carries signalling, the answer to a
join, signed webhooks, `list-nodes`, and a SIGTERM that drains without limit. Sources: livekit v1.8.4
`pkg/config/config.go`, `cmd/server/main.go`, `cmd/server/commands.go`, `pkg/service/server.go`,
and mediatransportutil `pkg/rtcconfig/config.go`.

It differs where that does not matter to a deployment: records in Redis are JSON, not protobuf, and a failed
start exits with 1 (the real one prints the error and exits with 0).
"""
