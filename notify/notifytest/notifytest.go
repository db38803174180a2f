// Package notifytest is the contract of [notify.Channel]: what every channel
// must keep, whoever it tells.
package notifytest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
)

// A Recipient is the other end of a channel.
type Recipient interface {
	// Channel is the channel that tells it.
	Channel() notify.Channel
	// Told is what it has been told so far, a text a notice.
	Told(t *testing.T) []string
}

// Test runs the contract, each part of it with a new recipient.
func Test(t *testing.T, recipient func(t *testing.T) Recipient) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

	for name, notice := range map[string]anneal.Notice{
		"decided":  notify.Decided("team", anneal.Decision{ID: "p-1", Policy: "p", Model: "churn", At: at, Verdict: anneal.VerdictRun, Reason: "rule drifted"}),
		"started":  notify.Started("team", anneal.Run{ID: "p-1", Policy: "p", Model: "churn", Started: at}),
		"failed":   notify.Failed("team", anneal.Run{ID: "p-1", Policy: "p", Model: "churn", Started: at, Status: anneal.StatusFailed, Error: "States.Runtime"}),
		"promoted": notify.Promoted("team", "p", anneal.Model{Group: "churn", Version: 2, StageAt: at}, nil),
		"held":     notify.Held("team", anneal.Decision{ID: "p-1", Policy: "p", Model: "churn", At: at, Reason: "drifted is false"}),
		"parked":   notify.Parked("team", anneal.Event{ID: "e", Source: "aws.s3", Seen: at, Parked: "no key"}),
		"message":  notify.Message("team", "effect", "Training", "done", at),
		"bare":     {ID: "n", Kind: anneal.NoticeMessage, Subject: "nothing but a subject"},
	} {
		t.Run("tells "+name, func(t *testing.T) {
			r := recipient(t)
			if err := r.Channel().Notify(t.Context(), notice); err != nil {
				t.Fatal(err)
			}
			told := r.Told(t)
			if len(told) != 1 || !strings.Contains(told[0], notice.Subject) {
				t.Errorf("told %q; want one that has %q", told, notice.Subject)
			}
		})
	}

	t.Run("tells again", func(t *testing.T) {
		r := recipient(t)
		notice := notify.Message("team", "effect", "again", "and again", at)
		for range 2 {
			if err := r.Channel().Notify(t.Context(), notice); err != nil {
				t.Fatal(err)
			}
		}
		if told := r.Told(t); len(told) != 2 {
			t.Errorf("told %q; want it twice", told)
		}
	})

	t.Run("takes any text", func(t *testing.T) {
		r := recipient(t)
		odd := "lines\nand\r\nmore\x00\x1b[31m \"quotes\" <b>ü</b> \xff\u202e" + strings.Repeat("long ", 10_000)
		if err := r.Channel().Notify(t.Context(), notify.Message("team", "effect", "odd text", odd, at)); err != nil {
			t.Fatal(err)
		}
		if told := r.Told(t); len(told) != 1 || !strings.Contains(told[0], "odd text") {
			t.Errorf("told %d notices; want one, with its subject", len(told))
		}
	})

	t.Run("takes many at once", func(t *testing.T) {
		r := recipient(t)
		channel := r.Channel()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := channel.Notify(t.Context(), notify.Message("team", "effect", "one of many", "", at)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if told := r.Told(t); len(told) != 20 {
			t.Errorf("told %d notices; want 20", len(told))
		}
	})

	t.Run("gives up with its context", func(t *testing.T) {
		r := recipient(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Channel().Notify(ctx, notify.Message("team", "effect", "late", "", at)); err == nil {
			t.Error("took a notice after its context had ended")
		}
		if told := r.Told(t); len(told) != 0 {
			t.Errorf("told %q; want nothing", told)
		}
	})
}
