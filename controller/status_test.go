package controller_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/policy"
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

// Who waits for the decision of a policy that is unloaded meanwhile is told.
func TestTriggerOfAnUnloadedPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := opens(map[string][]byte{"reference.csv": rowsOf(1, 2000, 0, false)})
		spec := history{Target: "y"}.policy(t, "false").Spec
		var slow atomic.Int64
		s := serve(t, compiled(t, spec), opener(func(o anneal.Object) (io.ReadCloser, error) {
			time.Sleep(time.Duration(slow.Load()))
			return open(o)
		}), func(*controller.Config) {})
		s.drop("reference.csv")
		time.Sleep(time.Hour)
		slow.Store(int64(time.Hour))
		spec.Spec.Data.Columns = map[string]string{"y": "numeric"} // another schema: it decides nothing before all is read again
		if err := s.Load(t.Context(), controller.Generation{Policies: []*policy.Policy{compiled(t, spec)}}); err != nil {
			t.Fatal(err)
		}
		decided := make(chan anneal.Decision, 1)
		go func() {
			d, err := s.Trigger(t.Context(), s.policy, nil, false)
			if err != nil {
				t.Error(err)
			}
			decided <- d
		}()
		time.Sleep(time.Minute)
		if err := s.Load(t.Context(), controller.Generation{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		select {
		case d := <-decided:
			if d.Verdict != anneal.VerdictSuppressed {
				t.Errorf("the verdict is %s, %s, want %s", d.Verdict, d.Reason, anneal.VerdictSuppressed)
			}
		default:
			t.Error("a minute after the policy was unloaded nobody is told what it has decided")
		}
	})
}

// Who asks a policy that is unloaded before the question is taken is told, too.
func TestTriggerBeforeUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := history{Target: "y"}.policy(t, "false")
		s := serve(t, p, opener(func(anneal.Object) (io.ReadCloser, error) {
			time.Sleep(24 * time.Hour)
			return nil, fs.ErrNotExist
		}), func(*controller.Config) {})
		for n := range 1024 { // so many wait that no more is taken
			s.drop(fmt.Sprint(n, ".csv"))
		}
		time.Sleep(time.Minute)
		told := make(chan error, 1)
		go func() {
			_, err := s.Trigger(t.Context(), s.policy, nil, false)
			told <- err
		}()
		time.Sleep(time.Minute)
		if err := s.Load(t.Context(), controller.Generation{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		select {
		case err := <-told:
			if unknown := new(controller.UnknownPolicyError); !errors.As(err, &unknown) {
				t.Errorf("who asked is told %v, want that the policy is not loaded", err)
			}
		default:
			t.Error("a minute after the policy was unloaded who asked it still waits")
		}
	})
}
