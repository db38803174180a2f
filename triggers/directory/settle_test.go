package directory

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the transcripts")

// Each transcript in testdata has what a folder did, and when, and what settled.
//
//	at 1.5s  a.csv 100@3    a file of 100 bytes, modified at 3
//	at 1.5s  a.csv gone     it is deleted, and that is noticed
//	at 1.5s  a.csv = 7@4    it becomes that, and nothing notices
//	at 1.5s  a.csv = gone
//
// The settler wants 2 s of quiet. It is asked when it says that it wants to be.
func TestSettle(t *testing.T) {
	names, err := filepath.Glob("testdata/settle-*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := settleAll(t, string(archive.Files[0].Data))
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("settled (-want +got):\n%s", diff)
			}
		})
	}
}

func settleAll(t *testing.T, script string) string {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newSettler(2 * time.Second)
	folder := make(map[string]stamp)
	var out strings.Builder
	take := func(until time.Time) {
		for {
			due, ok := s.next()
			if !ok || due.After(until) {
				return
			}
			settled := s.take(due, func(key string) (stamp, bool) { p, ok := folder[key]; return p, ok })
			fmt.Fprintf(&out, "at %s ", due.Sub(start))
			for _, f := range settled {
				fmt.Fprintf(&out, " %s %d@%d", f.key, f.size, f.mtime)
			}
			if len(settled) == 0 {
				out.WriteString(" nothing")
			}
			out.WriteString("\n")
		}
	}
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) < 4 || words[0] != "at" {
			t.Fatalf("line %q: want `at TIME KEY [=] SIZE@MTIME|gone`", line)
		}
		after, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		now, key, unnoticed := start.Add(after), words[2], words[3] == "="
		take(now)
		what := words[len(words)-1]
		if what == "gone" {
			delete(folder, key)
			if !unnoticed {
				s.gone(key)
			}
			continue
		}
		var p stamp
		if _, err := fmt.Sscanf(what, "%d@%d", &p.size, &p.mtime); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		folder[key] = p
		if !unnoticed {
			s.saw(key, p, now)
		}
	}
	take(start.Add(time.Hour))
	if len(s.waiting) != 0 || len(s.due) != 0 {
		t.Errorf("an hour later %d files still wait", len(s.waiting))
	}
	return out.String()
}
