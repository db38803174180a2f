package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// Objects that S3 does not give at present are waited for, and hold up no others
// meanwhile, however many they are; those that have changed are not waited for.
func TestObjectsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(t.Context(), new(journal.Memory), journal.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		recovery, err := controller.Recover(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		back := time.Now().Add(3 * time.Hour)
		opened := make(chan anneal.Object, 1)
		c := controller.New(controller.Config{
			Journal: j, Log: slog.New(slog.DiscardHandler), Generation: controller.Generation{Policies: []*policy.Policy{watch(t)}},
			Profile: func(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
				switch {
				case strings.HasPrefix(o.URI, "s3://b/away") && time.Now().Before(back):
					return nil, fmt.Errorf("open %s: %w", o.URI, objects.ErrUnavailable)
				case o.URI == "s3://b/changed":
					return nil, fmt.Errorf("open %s: %w", o.URI, objects.ErrChanged)
				}
				select {
				case opened <- o:
				default:
				}
				return profileRows(ctx, o, opt)
			},
			Executors: map[string]orchestrator.Executor{policy.ExecutorEmbedded: idleExecutor{tb: t}},
		}, recovery.State)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		drop := func(key string) {
			data := anneal.ObjectCreated{Version: "0", Bucket: anneal.BucketRef{Name: "b"}, Object: anneal.ObjectRef{Key: key, Size: 1, VersionID: "v-" + key, ETag: "e-" + key, Sequencer: "s"}}
			raw, _ := json.Marshal(data)
			now := time.Now().UTC()
			if _, _, err := c.Ingest(ctx, anneal.Event{SpecVersion: "1.0", ID: data.EventID("aws.s3"), Source: "aws.s3", Type: anneal.TypeObjectCreated, Time: now, Seen: now, Data: raw}); err != nil {
				t.Fatal(err)
			}
		}
		decided := func() string {
			n, parked := 0, ""
			for r, err := range j.Read(ctx, 1, false) {
				if err != nil {
					t.Fatal(err)
				}
				switch r.Kind {
				case controller.KindDecision:
					n++
				case controller.KindParked:
					var p struct{ Reason string }
					if err := json.Unmarshal(r.Data, &p); err != nil {
						t.Fatal(err)
					}
					parked += "; " + p.Reason
				}
			}
			return fmt.Sprint(n, parked)
		}
		for i := range 10 {
			drop(fmt.Sprint("away-", i))
		}
		synctest.Wait()
		drop("changed")
		drop("here")
		time.Sleep(time.Second)
		if o := <-opened; o.URI != "s3://b/here" || o.VersionID != "v-here" || o.ETag != "e-here" {
			t.Errorf("opened %+v; want what is here, by its version", o)
		}
		time.Sleep(2 * time.Hour)
		if got := decided(); got != "0" { // a policy decides in the order of its events
			t.Errorf("decided while S3 was away: %s", got)
		}
		time.Sleep(time.Hour + 6*time.Minute)
		want := "11; open s3://b/changed: object has changed"
		if got := decided(); got != want {
			t.Errorf("decided once S3 was back: %s; want %s", got, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
