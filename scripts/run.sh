#!/usr/bin/env bash
# make run: a server and a simulated fleet on this machine, until Ctrl-C.
# GPUPULSE_PORT (default 8080) is the first port that is tried.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p run

server_pid='' agent_pid=''

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

ready() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
    read -r _ status _ <&3 && [ "$status" = 200 ]
  ) 2>/dev/null
}

alive() { kill -0 "$1" 2>/dev/null; }

# The agent goes first, so that what it has sent is still answered.
finish() {
  trap '' INT TERM
  for pid in $agent_pid $server_pid; do
    alive "$pid" && kill -TERM "$pid" && wait "$pid" || true
  done
}

fail() {
  echo "$1; the last lines of $2:" >&2
  tail -n 15 "$2" >&2
  finish
  exit 1
}

port=${GPUPULSE_PORT:-8080}
last=$((port + 50))
while taken "$port"; do
  port=$((port + 1))
  [ "$port" -le "$last" ] || { echo "no free port between ${GPUPULSE_PORT:-8080} and $last" >&2; exit 1; }
done

trap 'echo; echo "stopping"; finish; echo "stopped; the data stays in run/data"; exit 0' INT TERM

# Job control puts each child into a process group of its own: Ctrl-C reaches only
# this script, which ends them in order.
set -m
bin/gpupulse-server --listen "127.0.0.1:$port" --data-dir run/data --log-format text >run/server.log 2>&1 &
server_pid=$!
for _ in $(seq 1 300); do
  ready && break
  alive "$server_pid" || fail "the server ended" run/server.log
  sleep 0.1
done
ready || fail "the server is not ready after 30 s" run/server.log

bin/gpupulse-agent --server "ws://127.0.0.1:$port/ws" --source sim --log-format text >run/agent.log 2>&1 &
agent_pid=$!

cat <<TEXT

  gpupulse is running with a simulated fleet.

  Dashboard   http://127.0.0.1:$port/
  Readings    bin/gpupulse --server ws://127.0.0.1:$port/ws sub 'gpu.>'
  Logs        run/server.log, run/agent.log

  Ctrl-C ends it.

TEXT

while alive "$server_pid" && alive "$agent_pid"; do
  sleep 1 &
  wait $! || true
done
alive "$server_pid" || fail "the server ended" run/server.log
fail "the agent ended" run/agent.log
