// Eclipse Paho for Go, MQTT 3.1.1, driven line by line.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const wait = 20 * time.Second

type filter struct {
	name string
	qos  byte
}

var (
	lock    sync.Mutex
	filters []filter
	output  sync.Mutex
)

func say(words ...any) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(words...)
}

func onMessage(_ mqtt.Client, message mqtt.Message) {
	say("message", message.Topic(), message.Qos(), string(message.Payload()))
}

func subscribe(client mqtt.Client, one filter) {
	token := client.Subscribe(one.name, one.qos, onMessage)
	if !token.WaitTimeout(wait) || token.Error() != nil {
		say("failed", token.Error())
		return
	}
	say("subscribed", token.(*mqtt.SubscribeToken).Result()[one.name])
}

func publish(client mqtt.Client, topic string, qos byte, count int) {
	tokens := make([]mqtt.Token, count)
	for n := range tokens {
		tokens[n] = client.Publish(topic, qos, false, fmt.Sprintf("%d-%d", qos, n))
	}
	done := 0
	for _, token := range tokens {
		if token.WaitTimeout(wait) && token.Error() == nil {
			done++
		}
	}
	say("published", done)
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	port, version, id, will := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	options := mqtt.NewClientOptions().
		AddBroker("tcp://127.0.0.1:" + port).
		SetClientID(id).
		SetProtocolVersion(uint(number(version))).
		SetAutoReconnect(true).
		SetMaxReconnectInterval(time.Second).
		SetOnConnectHandler(func(client mqtt.Client) {
			say("connected")
			lock.Lock()
			again := append([]filter(nil), filters...)
			lock.Unlock()
			for _, one := range again {
				subscribe(client, one)
			}
		})
	if will != "-" {
		options.SetWill(will, "gone", 1, false)
	}
	client := mqtt.NewClient(options)
	if token := client.Connect(); !token.WaitTimeout(wait) || token.Error() != nil {
		panic(token.Error())
	}
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		words := strings.Fields(input.Text())
		switch words[0] {
		case "subscribe":
			one := filter{words[1], byte(number(words[2]))}
			lock.Lock()
			filters = append(filters, one)
			lock.Unlock()
			subscribe(client, one)
		case "publish":
			publish(client, words[1], byte(number(words[2])), number(words[3]))
		}
	}
	client.Disconnect(1000)
}
