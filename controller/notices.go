package controller

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
)

const (
	// maxAttempts is how often a notice is tried before it is given up: for
	// about an hour.
	maxAttempts = 20
	// maxTogether is how many notices one message can tell of.
	maxTogether = 1000
)

// A gathering is a notice that still waits for others of its group.
type gathering struct {
	first  string // its ID
	others int
}

func gatheringOf(n anneal.Notice) string { return n.Channel + "\n" + n.Group }

// tell makes a notice for each channel that the policy wants told, but for
// what a channel knows already.
func (c *Controller) tell(b *batch, policy string, kind anneal.NoticeKind, make func(channel string) anneal.Notice) {
	p := c.generation.Load().policy(policy)
	if p == nil {
		return
	}
	for _, to := range p.Spec.Spec.Notify {
		if !slices.Contains(to.Events, kind) {
			continue
		}
		repeat := cmp.Or(c.cfg.Terms[to.To].Repeat, notify.Repeat)
		if n, news := c.state.Told.News(make(to.To), repeat); news {
			c.notice(b, n)
		}
	}
}

// resolve tells whoever was told of something about a policy that it is over.
func (c *Controller) resolve(b *batch, policy string, kind anneal.NoticeKind, cause string, at time.Time, how string) {
	for _, topic := range c.state.Told.Open(kind, policy) {
		c.notice(b, notify.Resolved(topic, cause, at, how))
	}
}

// notice records a notice, once, and sends it on its way: in a message of its
// own, or in that of one of its group which has not left yet.
func (c *Controller) notice(b *batch, n anneal.Notice) {
	if c.notices[n.ID] {
		return
	}
	c.notices[n.ID] = true
	together := c.cfg.Terms[n.Channel].Together
	if n.Group == "" {
		together = 0
	}
	if together > 0 {
		if g, ok := c.gathering[gatheringOf(n)]; ok && g.others < maxTogether {
			g.others++
			n.With = g.first
			b.put(KindNotice, n.ID, n)
			return
		}
		c.gathering[gatheringOf(n)] = &gathering{first: n.ID}
	}
	b.put(KindNotice, n.ID, n)
	b.then = append(b.then, func(ctx context.Context) { c.deliver(ctx, n, together) })
}

// deliver tries until the channel has taken the notice, and those that are
// told with it, or it is given up. Each try is recorded.
func (c *Controller) deliver(ctx context.Context, n anneal.Notice, after time.Duration) {
	c.tasks.Go(func() {
		if sleep(ctx, after) != nil {
			return
		}
		others, err := c.gathered(ctx, n)
		if err != nil {
			return
		}
		channel, message := c.cfg.Channels[n.Channel], notify.Together(n, others)
		for n.Delivered == nil && !n.GivenUp {
			var wait time.Duration
			if channel == nil {
				n.GivenUp, n.Error = true, "channel is not configured"
			} else {
				err := channel.Notify(ctx, message)
				if ctx.Err() != nil {
					return // tried again after the restart
				}
				wait = c.tried(&n, err)
			}
			if c.do(ctx, func(b *batch) error { c.noticeTried(b, n, others); return nil }) != nil || sleep(ctx, wait) != nil {
				return
			}
		}
	})
}

// gathered closes the group of n and returns those that are told with it.
func (c *Controller) gathered(ctx context.Context, n anneal.Notice) (others []anneal.Notice, err error) {
	if n.Group == "" {
		return nil, nil
	}
	err = c.do(ctx, func(*batch) error {
		if g := c.gathering[gatheringOf(n)]; g != nil && g.first == n.ID {
			delete(c.gathering, gatheringOf(n))
		}
		for _, other := range c.state.Unsent {
			if other.With == n.ID {
				others = append(others, other)
			}
		}
		return nil
	})
	slices.SortFunc(others, func(a, b anneal.Notice) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
	})
	return others, err
}

// tried notes how a try of n has ended, and returns how long to wait for the
// next.
func (c *Controller) tried(n *anneal.Notice, err error) time.Duration {
	n.Attempts++
	n.Status, n.Error = 0, ""
	if err == nil {
		now := time.Now().UTC()
		n.Delivered = &now
		return 0
	}
	n.Error = err.Error()
	var refusal *notify.Refusal
	if errors.As(err, &refusal) {
		n.Status, n.GivenUp = refusal.Status, refusal.Final
	}
	n.GivenUp = n.GivenUp || n.Attempts >= maxAttempts
	c.log.Warn("notice not delivered", "notice", n.ID, "channel", n.Channel, "attempts", n.Attempts, "givenUp", n.GivenUp, "err", err)
	if n.GivenUp {
		return 0
	}
	return notify.Wait(n.ID, n.Attempts, err)
}

// noticeTried records how far the delivery of n has come, and with its end
// that of the others in its message.
func (c *Controller) noticeTried(b *batch, n anneal.Notice, others []anneal.Notice) {
	b.put(KindNotice, n.ID, n)
	if n.Delivered == nil && !n.GivenUp {
		return
	}
	delete(c.notices, n.ID)
	for _, other := range others {
		other.Delivered, other.Attempts, other.Status, other.Error, other.GivenUp = n.Delivered, n.Attempts, n.Status, n.Error, n.GivenUp
		b.put(KindNotice, other.ID, other)
		delete(c.notices, other.ID)
	}
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
