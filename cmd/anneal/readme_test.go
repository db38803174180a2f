package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/anneal-ml/anneal/cmd/anneal/demo"
)

// TestReadme checks the policy and the settings of the README, as they stand there, with
// the state machine that the demo leaves beside them.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) != 2 {
		t.Fatalf("the README has %d blocks of YAML, want a policy and settings", len(blocks))
	}
	dir := t.TempDir()
	if err := demo.WriteMarket(dir, annealBinary); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"policies/market.yaml", "anneal.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), blocks[i][1], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(annealBinary, "check", "--config", filepath.Join(dir, "anneal.yaml")).CombinedOutput()
	want := "policy market: enforce, 2 rules for model market, 1 trigger\nsound: 1 policy, 1 state machine\n"
	if err != nil || string(out) != want {
		t.Errorf("check says %v\n%s\nwant\n%s", err, out, want)
	}
}
