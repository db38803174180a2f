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
	title := looksAt(t, page, 1200, `[...document.querySelectorAll("rect")].filter(r => r.getBoundingClientRect().width > 1).length + " bars, " +
		document.querySelectorAll("section").length + " columns, " + document.body.innerText.includes("<script>") + ", " + document.body.innerText.includes("%!")`)
	if !regexp.MustCompile(`^2\d bars, 2 columns, true, false$`).MatchString(title) {
		t.Errorf("the browser sees %q, want some 25 bars, 2 columns, the hostile name as text and no broken format", title)
	}
}

// TestDriftPageOfMany: of two hundred columns with long and hostile names the page
// shows those that drifted, links to each, asks the network for nothing, and is no
// wider than a narrow window.
func TestDriftPageOfMany(t *testing.T) {
	dir := t.TempDir()
	rows := func(shift int) string {
		var b strings.Builder
		for c := range 200 {
			fmt.Fprintf(&b, "<img src=http://example.com/%d onerror=alert(1)>_of_a_name_that_goes_on_and_on", c)
			b.WriteString(map[bool]string{true: "\n", false: ","}[c == 199])
		}
		for i := range 100 {
			for c := range 200 {
				fmt.Fprintf(&b, "%d", i*(c+7)%97+shift*(c%4/3))
				b.WriteString(map[bool]string{true: "\n", false: ","}[c == 199])
			}
		}
		return b.String()
	}
	for name, text := range map[string]string{"ref.csv": rows(0), "cur.csv": rows(60)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "drift.html")
	cmd := exec.Command(annealBinary, "drift", "compare", "--reference", "ref.csv", "--current", "cur.csv", "--html", page)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for width, want := range map[int]string{
		1200: "200 columns, 50 open, 200 links, 0 images, 0 asked for, fits",
		500:  "200 columns, 50 open, 200 links, 0 images, 0 asked for, fits",
	} {
		got := looksAt(t, page, width, `document.querySelectorAll("section").length + " columns, " + document.querySelectorAll("section details[open]").length + " open, " +
			[...document.querySelectorAll("td a")].filter(a => document.querySelector(a.getAttribute("href"))).length + " links, " + document.images.length + " images, " +
			performance.getEntriesByType("resource").length + " asked for, " + (document.documentElement.scrollWidth <= innerWidth ? "fits" : "is wider")`)
		if got != want {
			t.Errorf("%d wide the browser sees %q, want %q", width, got, want)
		}
	}
}

// looksAt has a browser lay out a page in a window, and gives what an expression is
// there: the page tells it in its own title.
func looksAt(t *testing.T, page string, width int, expression string) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatal("no Chromium is installed")
		}
		t.Skip("no Chromium is installed")
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	probed := filepath.Join(dir, "page.html")
	if err := os.WriteFile(probed, append(html, "<script>document.title = "+expression+"</script>"...), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", fmt.Sprintf("--window-size=%d,900", width),
		"--user-data-dir="+filepath.Join(dir, "user"), "--dump-dom", "file://"+probed).Output()
	if err != nil {
		t.Fatal(err)
	}
	title := regexp.MustCompile(`<title>(.*)</title>`).FindSubmatch(out)
	if len(title) == 0 {
		t.Fatal("the browser sees no title")
	}
	return string(title[1])
}
