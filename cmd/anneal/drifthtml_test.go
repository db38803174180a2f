package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDriftPage writes a comparison as a page and has a browser lay it out: every
// bar is there, and a hostile name is text.
func TestDriftPage(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatal("no Chromium is installed")
		}
		t.Skip("no Chromium is installed")
	}
	dir := t.TempDir()
	rows := func(shift int) string {
		var b strings.Builder
		b.WriteString("x,<script>document.title='broken'</script>\n")
		for i := range 400 {
			fmt.Fprintf(&b, "%d,color %d\n", shift+i*i%97, (shift+i)%(3+shift/50))
		}
		return b.String()
	}
	for name, text := range map[string]string{"ref.csv": rows(0), "cur.csv": rows(50)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "drift.html")
	cmd := exec.Command(annealBinary, "drift", "compare", "--reference", "ref.csv", "--current", "cur.csv", "--html", page)
	cmd.Dir = dir
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitNo {
		t.Fatalf("status %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	// The page tells what the browser made of it in its own title.
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	probe := `<script>document.title = [...document.querySelectorAll("rect")].filter(r => r.getBoundingClientRect().width > 1).length + " bars, " +
		document.querySelectorAll("section").length + " columns, " + document.body.innerText.includes("<script>") + ", " + document.body.innerText.includes("%!")</script>`
	if err := os.WriteFile(page, append(html, probe...), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+filepath.Join(dir, "user"), "--dump-dom", "file://"+page).Output()
	if err != nil {
		t.Fatal(err)
	}
	title := regexp.MustCompile(`<title>(.*)</title>`).FindSubmatch(out)
	if len(title) == 0 || !regexp.MustCompile(`^2\d bars, 2 columns, true, false$`).Match(title[1]) {
		t.Errorf("the browser sees %q, want some 25 bars, 2 columns, the hostile name as text and no broken format", title)
	}
}
