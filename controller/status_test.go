package controller_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
)

// How the loop stands includes what was asked of it before, however long it is busy.
func TestStatusOfABusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, history{Target: "y"}.policy(t, "false"), opens(nil), func(cfg *controller.Config) {
			cfg.Told = func(anneal.Event) { time.Sleep(2 * time.Second) }
		})
		if _, err := s.Pause(t.Context(), s.policy, "holidays"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Ingest(t.Context(), anneal.Event{SpecVersion: "1.0", ID: "e", Source: "x", Type: "t", Time: time.Now(), Seen: time.Now()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the loop is told of it
		if got := s.Status(); got.Policies[0].Paused == "" || got.Taken < 2 {
			t.Errorf("two events were taken, one that pauses the policy, and the status is %+v", got)
		}
	})
}
