package controller_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the transcripts")

// stories has each file that fits a pattern told twice, the second time to processes
// that start anew before each step. The last part of a file is the story, with what
// came of each step.
func stories(t *testing.T, pattern string, tell func(t *testing.T, archive *txtar.Archive, story string, restarts bool) (told string)) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			story := &archive.Files[len(archive.Files)-1]
			want := string(story.Data)
			for _, restarts := range []bool{false, true} {
				got := tell(t, archive, want, restarts)
				if *update && !restarts {
					story.Data = []byte(got)
					if err := os.WriteFile(file, txtar.Format(archive), 0o666); err != nil {
						t.Fatal(err)
					}
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("restarts %t (-want +got):\n%s", restarts, diff)
				}
			}
		})
	}
}
