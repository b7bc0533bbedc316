package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"gpupulse/sdk"
	"gpupulse/sdk/wire"
)

var (
	ctx    = context.Background()
	client *sdk.Client
)

// handleJob stands for work that may fail.
func handleJob(payload []byte) error { return nil }

func ExampleDial() {
	client, err := sdk.Dial(ctx, "ws://127.0.0.1:8080/ws", sdk.Options{Name: "example"})
	var fault *wire.Fault
	if errors.As(err, &fault) && fault.Code == wire.Unauthorised {
		log.Fatal("the token is wrong: ", err)
	}
	defer client.Close()
}

// New does not wait: what is published before the hub is there is sent when it is.
func ExampleNew() {
	client, err := sdk.New("ws://127.0.0.1:8080/ws", sdk.Options{
		Name:    "agent node-01",
		OnState: func(s sdk.State, err error) { fmt.Println(s, err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}

func ExampleClient_Wait() {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := client.Wait(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_Publish() {
	results, err := client.Publish(ctx,
		sdk.Message{Topic: "demo.one", Payload: []byte("1")},
		sdk.Message{Topic: "demo.two", Payload: []byte("2"), ID: "order-17"},
	)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Sequence, r.Duplicate)
	}
}

// PublishAsync keeps many messages on the way; Flush waits for all of them.
func ExampleClient_PublishAsync() {
	for i := range 1000 {
		batch := []sdk.Message{{Topic: "demo.many", Payload: fmt.Append(nil, i)}}
		err := client.PublishAsync(ctx, batch, func(results []sdk.Result, err error) {
			if err != nil {
				log.Print(err)
			}
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := client.Flush(ctx); err != nil {
		log.Fatal(err)
	}
}

// A conflated subscription gets the newest message of each topic, four times a second.
func ExampleClient_Subscribe() {
	subscription, err := client.Subscribe(ctx, "gpu.>", sdk.SubscribeOptions{
		Conflate: 250 * time.Millisecond,
		SendLast: true,
	}, func(d *sdk.Delivery) {
		fmt.Println(d.Topic, len(d.Payload))
	})
	if err != nil {
		log.Fatal(err)
	}
	defer subscription.Close()
}

func ExampleClient_Consume() {
	consumer, err := client.Consume(ctx, sdk.ConsumeOptions{Consumer: "jobs", Filter: "job.>"}, func(d *sdk.Delivery) {
		if err := handleJob(d.Payload); err != nil {
			_ = d.Nak(time.Second)
			return
		}
		_ = d.Ack()
	})
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close()
}

// ConsumeBatches suits a handler that commits many messages at once.
func ExampleClient_ConsumeBatches() {
	var consumer *sdk.Consumer
	consumer, err := client.ConsumeBatches(ctx, sdk.ConsumeOptions{
		Consumer: "archive", Filter: "gpu.>", MaxDeliver: -1,
	}, func(batch []*sdk.Delivery) {
		// store the batch, then
		_ = consumer.Ack(batch...)
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A message that can never be handled is ended with a reason and becomes a dead letter.
func ExampleDelivery_Term() {
	_, _ = client.Consume(ctx, sdk.ConsumeOptions{Consumer: "strict", Filter: "job.>"}, func(d *sdk.Delivery) {
		if len(d.Payload) == 0 {
			_ = d.Term("empty payload")
		}
	})
}

// Work that takes longer than the ack wait says so from time to time.
func ExampleDelivery_Progress() {
	_, _ = client.Consume(ctx, sdk.ConsumeOptions{Consumer: "slow", Filter: "job.>"}, func(d *sdk.Delivery) {
		for range 10 {
			_ = handleJob(d.Payload)
			_ = d.Progress()
		}
		_ = d.Ack()
	})
}

// Drain ends a client without leaving anything open.
func ExampleClient_Drain() {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := client.Drain(ctx); err != nil {
		log.Print(err)
	}
}
