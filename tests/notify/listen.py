"""Prints what is in queues of a broker, a line of JSON for each message: the lab's kombu takes it off, and oslo.messaging
reads it. Each line of input is the URL and the topic of one service; its `info` queue is read until the image named
`the end` and the run of every task are told of, then what is in its `error` queue. A line of output for each: a list of messages."""

import json
import sys

import kombu
from oslo_messaging._drivers import common

PATIENCE_SECONDS = 120
DURABLE = "--durable" in sys.argv


def main():
    for line in sys.stdin:
        url, topic = line.split()
        print(json.dumps(listen(url, topic)), flush=True)


def listen(url, topic):
    heard = []
    with kombu.Connection(url.replace("rabbit://", "amqp://")) as connection:
        info = queue(connection, topic + ".info")
        while not is_all(heard):
            message = info.get(timeout=PATIENCE_SECONDS)
            heard.append(shown(message, "info"))
            message.ack()
        error = queue(connection, topic + ".error")
        while True:
            try:
                message = error.get(block=False)
            except error.Empty:
                return heard
            heard.append(shown(message, "error"))
            message.ack()


def queue(connection, name):
    """As a service declares it, or there would be none before the service has sent something."""
    exchange = kombu.Exchange("glance", type="topic", durable=DURABLE)
    declared = kombu.Queue(name, exchange, routing_key=name, durable=DURABLE)
    return connection.SimpleQueue(declared)


def shown(message, queue):
    envelope = message.payload
    return {
        "queue": queue,
        "properties": {**message.properties, "delivery_info": None, "delivery_tag": None},
        "delivery": {k: message.delivery_info[k] for k in ("exchange", "redelivered")},
        "content": [message.content_type, message.content_encoding, message.headers],
        "envelope": sorted(envelope),
        "version": envelope.get("oslo.version"),
        "message": common.deserialize_msg(envelope),
    }


def is_all(heard):
    types = [shown["message"]["event_type"] for shown in heard]
    ended = types.count("task.run") + types.count("task.failure")
    return any(map(is_end, heard)) and types.count("task.create") == ended


def is_end(shown):
    payload = shown["message"]["payload"]
    return isinstance(payload, dict) and payload.get("name") == "the end"


main()
