package controller

import (
	"context"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
)

// maxAttempts is how often a notice is tried before it is given up.
const maxAttempts = 10

// tell makes a notice for each channel that the policy wants told.
func (c *Controller) tell(b *batch, policy string, kind anneal.NoticeKind, make func(channel string) anneal.Notice) {
	p := c.generation.Load().policy(policy)
	if p == nil {
		return
	}
	for _, n := range p.Spec.Spec.Notify {
		for _, k := range n.Events {
			if k == kind {
				c.notice(b, make(n.To))
			}
		}
	}
}

// notice records a notice, once, and sends it on its way.
func (c *Controller) notice(b *batch, n anneal.Notice) {
	if c.notices[n.ID] {
		return
	}
	c.notices[n.ID] = true
	b.put(KindNotice, n.ID, n)
	b.then = append(b.then, func(ctx context.Context) { c.deliver(ctx, n) })
}

// deliver tries until the channel has taken the notice or it is given up.
func (c *Controller) deliver(ctx context.Context, n anneal.Notice) {
	c.tasks.Go(func() {
		channel := c.cfg.Channels[n.Channel]
		for n.Delivered == nil && n.Attempts < maxAttempts {
			n.Attempts++
			n.Error = ""
			if channel == nil {
				n.Attempts, n.Error = maxAttempts, "channel is not configured"
			} else if err := channel.Notify(ctx, n); err != nil {
				n.Error = err.Error()
				c.log.Warn("notice not delivered", "notice", n.ID, "channel", n.Channel, "err", err)
				if sleep(ctx, notify.Backoff(n.Attempts)) != nil {
					return
				}
			} else {
				now := time.Now()
				n.Delivered = &now
			}
		}
		c.do(ctx, func(b *batch) error {
			b.put(KindNotice, n.ID, n)
			delete(c.notices, n.ID)
			return nil
		})
	})
}

// Publish sends what a state machine published to a channel and returns when
// that is durable. The same effect tells once.
func (c *Controller) Publish(ctx context.Context, effect, channel, subject, message string) error {
	return c.do(ctx, func(b *batch) error {
		n := notify.Message(channel, effect, subject, message, time.Now().UTC())
		if _, err := c.cfg.Journal.Find(ctx, KindNotice, n.ID); err == nil {
			return nil
		}
		c.notice(b, n)
		return nil
	})
}
