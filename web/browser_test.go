package web_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/web"
)

// A browser is a headless Chromium, spoken to in the DevTools protocol over a
// pipe: JSON, each message ended by a zero byte.
type browser struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	session string
	id      int
	said    []string // what the console was told
}

// openBrowser starts one that looks at an empty page.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatal("no Chromium is installed")
		}
		t.Skip("no Chromium is installed")
	}
	toRead, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, fromWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, fromWrite} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toRead.Close()
	fromWrite.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b := &browser{t: t, to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.call("Browser.close", nil, nil) // so that its processes are gone with it
		select {
		case <-ended:
		case <-time.After(time.Minute):
			cmd.Process.Kill()
			<-ended
		}
		to.Close()
		from.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call asks and waits for the answer.
func (b *browser) call(method string, params, into any) {
	b.t.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" && !strings.HasPrefix(method, "Browser.") {
		message["sessionId"] = b.session
	}
	data, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(data, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		line, err := b.from.ReadBytes(0)
		if err != nil {
			if method == "Browser.close" {
				return
			}
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Method string
			Params json.RawMessage
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &answer); err != nil {
			b.t.Fatal(err)
		}
		switch answer.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			b.said = append(b.said, string(answer.Params))
		}
		if answer.ID != b.id {
			continue
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if into != nil {
			if err := json.Unmarshal(answer.Result, into); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// eval is the value of an expression in the page.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	return answer.Result.Value
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for b.eval(expression) != true {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s\n%v\n%.3000v", expression, b.said, b.eval("document.body.innerText"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// visit goes to a page of some width and waits until it is there.
func (b *browser) visit(url string, width int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(fmt.Sprintf("document.readyState == 'complete' && location.href == %q", url))
}

// TestBrowser looks at the pages with a real browser: what is hostile stays
// text, nothing that the policy forbids is tried, a phone can show it, and the
// page follows the journal.
func TestBrowser(t *testing.T) {
	b := openBrowser(t)
	var j *journal.Journal
	var live sync.Once
	isLive := make(chan struct{})
	h := whole(t, func(cfg *web.Config) { j = cfg.Journal })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			live.Do(func() { close(isLive) })
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // what is followed has no end of its own

	for _, path := range []string{"/", "/decisions", "/decisions/d1", "/runs/d1", "/events", "/events/e2", "/notices", "/notices/n1", "/models", "/models/m@1", "/signals", "/signals/s0", "/signals/s1"} {
		for _, width := range []int{1280, 360} {
			b.visit(server.URL+path, width)
			if got := b.eval("document.documentElement.scrollWidth"); got.(float64) > float64(width) {
				t.Errorf("%s at %d: the page is %v wide", path, width, got)
			}
		}
		if n := b.eval("document.querySelectorAll('script').length"); n != 1.0 {
			t.Errorf("%s has %v scripts, want its own", path, n)
		}
		// What a screen reader needs: one heading, names for tables, labels.
		for what, expression := range map[string]string{
			"one h1":           "document.querySelectorAll('h1').length == 1",
			"captions":         "[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent.trim())",
			"column headers":   "[...document.querySelectorAll('thead th')].every(h => h.scope == 'col')",
			"names of buttons": "[...document.querySelectorAll('button, a[href]')].every(e => e.textContent.trim())",
			"labels":           "[...document.querySelectorAll('input, select')].every(e => e.labels.length > 0)",
			"ids once":         "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size == document.querySelectorAll('[id]').length",
			"a language":       "document.documentElement.lang == 'en'",
		} {
			if b.eval(expression) != true {
				t.Errorf("%s lacks %s", path, what)
			}
		}
		for _, scheme := range []string{"light", "dark"} {
			b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
			if low := b.eval(lowContrast); low != "" {
				t.Errorf("%s, %s: hard to read: %v", path, scheme, low)
			}
		}
	}
	b.visit(server.URL+"/", 1280)
	b.until("document.querySelector('main').innerText.includes('<script>alert(1)</script>')")
	<-isLive
	b.eval("document.querySelector('details').open = true")
	opened := b.eval("document.querySelector('details').id")
	change := func(id string) {
		data := encoded(t, anneal.Event{ID: id, Source: "x", Type: "t", Subject: "subject of " + id, Seen: at})
		if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: id, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	// The page is followed once its script has run: each change shows.
	for _, id := range []string{"fresh-1", "fresh-2"} {
		change(id)
		b.until(fmt.Sprintf("document.querySelector('main').innerText.includes('subject of %s')", id))
	}
	if b.eval(fmt.Sprintf("document.getElementById(%q).open", opened)) != true {
		t.Error("what was unfolded is folded")
	}
	for _, line := range b.said {
		t.Errorf("the console says %s", line)
	}
}

// lowContrast lists texts whose contrast with what is behind them is below
// 4.5:1.
//
// Source: WCAG 2.2, success criterion 1.4.3.
const lowContrast = `(() => {
  const parse = c => { const p = c.match(/[\d.]+/g).map(Number); return p.length < 4 ? [...p, 1] : p };
  const light = ([r, g, b]) => { const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b) };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > .99) return c } return [255, 255, 255, 1] };
  const low = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.getClientRects().length || e.closest('.unseen, .skip, script, noscript, option')) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
  }
  return [...low].join(', ');
})()`
