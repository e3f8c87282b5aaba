"""Eclipse Paho for Python, driven line by line."""
import sys
import threading

import paho.mqtt.client as mqtt

WAIT_SECONDS = 20
port, version, client_id, will = sys.argv[1:5]
filters = []
output = threading.Lock()


def say(*words):
    with output:
        print(*words, flush=True)


def on_connect(client, _userdata, _flags, reason, _properties):
    if reason.is_failure:
        say("refused", reason.value)
        return
    say("connected")
    for name, qos in filters:
        client.subscribe(name, qos)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    protocol=mqtt.MQTTv5 if version == "5" else mqtt.MQTTv311,
)
client.reconnect_delay_set(1, 1)
client.on_connect = on_connect
client.on_subscribe = lambda _client, _data, _id, reasons, _properties: say("subscribed", reasons[0].value)
client.on_message = lambda _client, _data, m: say("message", m.topic, m.qos, m.payload.decode())
if will != "-":
    client.will_set(will, "gone", qos=1)
client.connect("127.0.0.1", int(port), keepalive=30)
client.loop_start()

for line in sys.stdin:
    words = line.split()
    if words[0] == "subscribe":
        filters.append((words[1], int(words[2])))
        client.subscribe(words[1], int(words[2]))
    elif words[0] == "publish":
        _, topic, qos, count = words
        sent = [client.publish(topic, f"{qos}-{n}", int(qos)) for n in range(int(count))]
        for one in sent:
            one.wait_for_publish(WAIT_SECONDS)
        say("published", sum(one.is_published() for one in sent))

client.disconnect()
client.loop_stop()
