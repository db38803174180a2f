package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/notify/eventbridge"
	notifylog "github.com/anneal-ml/anneal/notify/log"
	"github.com/anneal-ml/anneal/notify/sns"
	notifywebhook "github.com/anneal-ml/anneal/notify/webhook"
)

// together is how long the first notice of a group waits for others, where people
// read it.
const together = 3 * time.Second

// channels are where notices go, and what each wants.
func channels(ctx context.Context, settings map[string]configs.Channel, log *slog.Logger) (map[string]notify.Channel, map[string]notify.Terms, error) {
	all, terms := map[string]notify.Channel{}, map[string]notify.Terms{}
	for _, name := range sortedKeys(settings) {
		channel := settings[name]
		terms[name] = notify.Terms{Repeat: time.Duration(channel.Repeat)}
		if channel.Webhook != nil || channel.SNS != nil {
			terms[name] = notify.Terms{Repeat: time.Duration(channel.Repeat), Together: together}
		}
		var err error
		if all[name], err = newChannel(ctx, channel, log); err != nil {
			return nil, nil, fmt.Errorf("channel %s: %w", name, err)
		}
	}
	return all, terms, nil
}

func newChannel(ctx context.Context, channel configs.Channel, log *slog.Logger) (notify.Channel, error) {
	switch {
	case channel.Webhook != nil:
		url, err := channel.Webhook.URL.Resolve()
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		secret, err := channel.Webhook.Secret.Resolve()
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		return notifywebhook.New(notifywebhook.Config{URL: url, Secret: secret})
	case channel.SNS != nil:
		topic, err := channel.SNS.Topic.Resolve()
		if err != nil {
			return nil, fmt.Errorf("sns: topic: %w", err)
		}
		with, err := awsOf(ctx, channel.SNS.Account(), sns.Region(topic), 0)
		if err != nil {
			return nil, fmt.Errorf("sns: %w", err)
		}
		return sns.New(sns.Config{Topic: topic}, with, log)
	case channel.EventBridge != nil:
		bus, err := channel.EventBridge.Bus.Resolve()
		if err != nil {
			return nil, fmt.Errorf("eventbridge: bus: %w", err)
		}
		with, err := awsOf(ctx, channel.EventBridge.Account(), eventbridge.Region(bus), 0)
		if err != nil {
			return nil, fmt.Errorf("eventbridge: %w", err)
		}
		return eventbridge.New(eventbridge.Config{Bus: bus}, with, log)
	}
	return notifylog.New(log), nil
}

// channels looks at the settings of channels, and at those of AWS, without asking
// anybody.
func (d *doctor) channels() {
	for _, name := range sortedKeys(d.cfg.Settings.Notify) {
		channel := d.cfg.Settings.Notify[name]
		if channel.SNS == nil && channel.EventBridge == nil {
			continue
		}
		made, err := newChannel(d.ctx, channel, slog.New(slog.DiscardHandler))
		if err != nil {
			d.fail("channel "+name, "correct it in "+d.cfg.File+", or in the environment", "%v", err)
			continue
		}
		switch made := made.(type) {
		case *sns.Channel:
			d.ok("channel "+name, "topic %s in %s; AWS is not asked", made.Topic(), made.Region())
		case *eventbridge.Channel:
			d.ok("channel "+name, "event bus %s in %s; AWS is not asked", made.Bus(), made.Region())
		}
	}
}
