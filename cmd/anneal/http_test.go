package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	notifywebhook "github.com/anneal-ml/anneal/notify/webhook"
)

const (
	hubKey      = "It's a secret to everybody"
	standardKey = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	olderKey    = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// signHub signs as GitHub does, signStandard as Standard Webhooks has it.
func signHub(key, body string) map[string]string {
	mac := hmac.New(sha256.New, []byte(key))
	io.WriteString(mac, body)
	return map[string]string{"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Event": "push"}
}

func signStandard(t *testing.T, key, id string, at time.Time, body string) map[string]string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, raw)
	io.WriteString(mac, id+"."+timestamp+"."+body)
	return map[string]string{"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

// onPush decides about what webhooks send.
const onPush = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: push}
spec:
  model: {group: code}
  triggers:
    - {id: push, event: {type: push}}
    - {id: told, event: {type: Webhook Received}}
  rules:
    - {id: always, if: "true"}
`

// TestWebhooks sends a daemon what others send: signed, forged, again, late,
// too much and without end.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml": `listen: 127.0.0.1:0
data: ./anneal-data
sources:
  - webhook: {path: /hooks/git, hmac: {file: ./hub}}
  - webhook: {path: /hooks/ci, secret: [{file: ./old}, {file: ./new}]}
`,
		"policies/push.yaml": onPush, "hub": hubKey + "\n", "old": "whsec_" + olderKey, "new": "whsec_" + standardKey,
	})
	p := begin(t, dir)
	now := time.Now()
	const body = `{"ref": "refs/heads/main"}`
	other := func(headers map[string]string, name, value string) map[string]string {
		headers[name] = value
		return headers
	}
	cloud := `{"specversion":"1.0","id":"1","source":"ci.example","type":"push","data":{}}`
	for _, c := range []struct {
		name, path, body string
		header           map[string]string
		status           int
		says             string
	}{
		{"signed by hub", "/hooks/git", body, other(signHub(hubKey, body), "Host", "hooks.example"), 202, `"duplicate":false`},
		{"the same again", "/hooks/git", body, signHub(hubKey, body), 202, `"duplicate":true`},
		{"by the first secret", "/hooks/ci", body, signStandard(t, olderKey, "msg_1", now, body), 202, `"duplicate":false`},
		{"by the second secret", "/hooks/ci", body, signStandard(t, standardKey, "msg_2", now, body), 202, `"duplicate":false`},
		{"replayed", "/hooks/ci", body, signStandard(t, standardKey, "msg_2", now.Add(-time.Second), body), 202, `"duplicate":true`},
		{"a CloudEvent", "/hooks/ci", cloud, signStandard(t, standardKey, "msg_3", now, cloud), 202, `"duplicate":false`},
		{"not signed", "/hooks/git", body, nil, 401, "what is not signed is not taken"},
		{"forged", "/hooks/git", body, signHub("guess", body), 401, "not one of this body"},
		{"another body", "/hooks/git", body + " ", signHub(hubKey, body), 401, "not one of this body"},
		{"signed for the other path", "/hooks/ci", body, signHub(hubKey, body), 401, "webhook-"},
		{"forged by Standard Webhooks", "/hooks/ci", body, signStandard(t, "AAAA", "msg_4", now, body), 401, "not one of this body"},
		{"recorded long ago", "/hooks/ci", body, signStandard(t, standardKey, "msg_5", now.Add(-time.Hour), body), 401, "is more than 5m0s from now"},
		{"with a new timestamp", "/hooks/ci", body, other(signStandard(t, standardKey, "msg_6", now.Add(-time.Hour), body), "webhook-timestamp", strconv.FormatInt(now.Unix(), 10)), 401, "not one of this body"},
		{"too much", "/hooks/git", strings.Repeat(" ", 2<<20), signHub(hubKey, strings.Repeat(" ", 2<<20)), 413, "larger than 1048576"},
		{"no JSON", "/hooks/git", "{", signHub(hubKey, "{"), 400, "not JSON"},
		{"beside it", "/hooks/git/x", body, signHub(hubKey, body), 404, "nothing is at"},
	} {
		status, answer := p.send(c.path, strings.NewReader(c.body), c.header)
		if status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %.300s\nwant %d … %s …", c.name, status, answer, c.status, c.says)
		}
	}
	if resp, err := http.Get(p.server + "/hooks/git"); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET of a webhook: %v %v", resp, err)
	}

	// A body without end, and one that hardly comes, cost a moment each; the
	// others are answered meanwhile.
	began := time.Now()
	host := strings.TrimPrefix(p.server, "http://")
	slow, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /hooks/git HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=%064d\r\nContent-Length: 100000\r\n\r\n{", 0)
	if status, answer := p.send("/hooks/git", endless{}, signHub(hubKey, body)); status != 413 {
		t.Errorf("a body without end: %d %s", status, answer)
	}
	slow.SetReadDeadline(time.Now().Add(2 * time.Minute))
	reply, _ := io.ReadAll(slow)
	if took := time.Since(began); !strings.HasPrefix(string(reply), "HTTP/1.1 408") {
		t.Errorf("a slow body is answered %.100q after %s", reply, took)
	}

	var events []anneal.Event
	if err := p.get("events?limit=0", &events); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, e.Source+" "+e.Type+" "+e.Parked)
	}
	if want := 5; len(got) != want {
		t.Errorf("%d events, want %d: %q", len(got), want, got)
	}
	eventually(t, 10*time.Second, func() error {
		var decisions []anneal.Decision
		if err := p.get("decisions", &decisions); err != nil || len(decisions) != 4 {
			return fmt.Errorf("%d decisions (%v), want 4", len(decisions), err)
		}
		return nil
	})
	if out, status := p.anneal("events", "list", "--status", "parked"); status != 0 || !strings.Contains(out, "not JSON") {
		t.Errorf("what is parked: %d %s", status, out)
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, strings.Repeat(" ", 4096)), nil }

// send posts to a path of the daemon; a status of 0 is no answer. What is answered before the body has come is
// read, too: the daemon closes the connection then, and [http.Client] may say no more
// than that.
func (p *process) send(path string, body io.Reader, header map[string]string) (status int, answer string) {
	p.t.Helper()
	req, err := http.NewRequest("POST", p.server+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		return 0, err.Error()
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	written := make(chan error, 1)
	go func() { written <- req.Write(conn) }()
	defer func() { conn.Close(); <-written }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(data)
}

// A team is told by webhook. It refuses as often as it is asked to.
type team struct {
	*httptest.Server
	mu      sync.Mutex
	refuse  int                     // guarded by mu; so many times more
	tries   int                     // guarded by mu
	forged  []string                // guarded by mu
	told    []notifywebhook.Message // guarded by mu
	answers func(http.ResponseWriter)
}

func newTeam(t *testing.T, refuse int, answers func(http.ResponseWriter)) *team {
	t.Helper()
	m := &team{refuse: refuse, answers: answers}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var message notifywebhook.Message
		if err == nil {
			err = json.Unmarshal(body, &message)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.tries++
		sec, _ := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
		want := signStandard(t, standardKey, r.Header.Get("webhook-id"), time.Unix(sec, 0), string(body))
		if err != nil || r.Header.Get("webhook-signature") != want["webhook-signature"] || message.ID != r.Header.Get("webhook-id") {
			m.forged = append(m.forged, fmt.Sprint(err, r.Header))
		}
		if m.refuse != 0 {
			m.refuse--
			answers(w)
			return
		}
		m.told = append(m.told, message)
	}))
	t.Cleanup(m.Close)
	return m
}

// heard is what it was told, a line a message.
func (m *team) heard() (lines []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, message := range m.told {
		lines = append(lines, fmt.Sprintf("%s %s", message.Type, message.Data.Subject))
	}
	return lines
}

const asking = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: NAME}
spec:
  model: {group: NAME}
  parameters: {type: object, properties: {go: {type: boolean}}}
  triggers: [{id: any, event: {type: news}}]
  rules: [{id: asked, if: "has(parameters.go) && parameters.go == true"}]
  notify: [{events: [held], to: team}]
`

// TestNoticesByWebhook has a daemon tell a team that is not always there.
func TestNoticesByWebhook(t *testing.T) {
	t.Parallel()
	m := newTeam(t, 2, func(w http.ResponseWriter) { http.Error(w, "not now", http.StatusBadGateway) })
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml": `listen: 127.0.0.1:0
data: ./anneal-data
notify:
  team: {webhook: {url: {file: ./url}, secret: {file: ./secret}}}
`,
		"policies/a.yaml": strings.ReplaceAll(asking, "NAME", "a"), "policies/b.yaml": strings.ReplaceAll(asking, "NAME", "b"),
		"url": m.URL, "secret": "whsec_" + standardKey,
	})
	p := begin(t, dir)
	// One event has both policies hold: one message, in the third try. What
	// they go on holding for is not told again.
	if status, answer := p.post("events", `{"specversion":"1.0","id":"1","source":"x","type":"news"}`, nil); status != 202 {
		t.Fatalf("%d %s", status, answer)
	}
	for range 5 {
		if out, status := p.anneal("trigger", "a", "--input", "go=false"); status != 0 || !strings.HasPrefix(out, "hold") {
			t.Fatalf("%d %s", status, out)
		}
	}
	told := func(want ...string) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			if got := m.heard(); strings.Join(got, "\n") != strings.Join(want, "\n") {
				return fmt.Errorf("heard %q, want %q", got, want)
			}
			return nil
		})
	}
	first := "anneal.notice.held a: held, no rule is true: asked (parameters.go unknown) (and 1 more)"
	eventually(t, 30*time.Second, func() error {
		if got := m.heard(); len(got) != 1 || !strings.Contains(got[0], "(and 1 more)") {
			return fmt.Errorf("heard %q", got)
		}
		return nil
	})
	first = m.heard()[0]
	if out, status := p.anneal("trigger", "a", "--input", "go=true"); status != 0 || !strings.HasPrefix(out, "would-run") {
		t.Fatalf("%d %s", status, out)
	}
	told(first, "anneal.notice.resolved a: no longer held")
	if out, status := p.anneal("trigger", "a", "--input", "go=false"); status != 0 || !strings.HasPrefix(out, "hold") {
		t.Fatalf("%d %s", status, out)
	}
	eventually(t, 30*time.Second, func() error {
		if got := m.heard(); len(got) != 3 || !strings.HasPrefix(got[2], "anneal.notice.held a: held") {
			return fmt.Errorf("heard %q", got)
		}
		return nil
	})
	if len(m.forged) > 0 {
		t.Errorf("not as signed: %q", m.forged)
	}
	// The record of the delivery.
	eventually(t, 10*time.Second, func() error {
		var notices []anneal.Notice
		if err := p.get("notices?status=delivered", &notices); err != nil || len(notices) != 4 {
			return fmt.Errorf("%d delivered (%v), want 4", len(notices), err)
		}
		return nil
	})
	id := m.told[0].ID
	out, status := p.anneal("notices", "show", id)
	for _, want := range []string{`"attempts": 3`, `"delivered": "`, `"kind": "held"`} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("notices show: %d %s\nwant %s", status, out, want)
		}
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("verify: %s", out)
	}
}

// TestNoticeGone has a peer that wants no more: the notice is given up at once.
func TestNoticeGone(t *testing.T) {
	t.Parallel()
	m := newTeam(t, -1, func(w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":     "listen: 127.0.0.1:0\ndata: ./anneal-data\nnotify:\n  team: {webhook: {url: {file: ./url}, secret: {file: ./secret}}}\n",
		"policies/a.yaml": strings.ReplaceAll(asking, "NAME", "a"), "url": m.URL, "secret": "whsec_" + standardKey,
	})
	p := begin(t, dir)
	if out, status := p.anneal("trigger", "a", "--input", "go=false"); status != 0 || !strings.HasPrefix(out, "hold") {
		t.Fatalf("%d %s", status, out)
	}
	eventually(t, 20*time.Second, func() error {
		var notices []anneal.Notice
		if err := p.get("notices?status=failed", &notices); err != nil {
			return err
		}
		if len(notices) != 1 || notices[0].Attempts != 1 || notices[0].Status != 410 || !notices[0].GivenUp {
			return fmt.Errorf("have %+v", notices)
		}
		return nil
	})
	if out, _ := p.anneal("notices", "list"); !strings.Contains(out, "given up after 1 try: answered 410 Gone") {
		t.Errorf("notices list: %s", out)
	}
}

// TestTokens makes a token as an operator does and listens off loopback, with a
// certificate.
func TestTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir, time.Hour)
	made := func(args ...string) (token, entry string) {
		out, err := runOnce(append([]string{"token", "new"}, args...)...)
		found := regexp.MustCompile(`(?m)^    (anneal_\w+)\n(?s:.*)^    (- \{.*\})$`).FindStringSubmatch(out)
		if err != 0 || found == nil {
			t.Fatalf("token new: %d %s", err, out)
		}
		return found[1], found[2]
	}
	admin, adminEntry := made("ops", "--role", "admin")
	viewer, viewerEntry := made("prometheus")
	settings := func(listen, auth string) string {
		return "listen: " + listen + "\ndata: ./anneal-data\n" + auth
	}
	auth := "auth:\n  tokens:\n    " + adminEntry + "\n    " + viewerEntry + "\ntls: {cert: ./tls.crt, key: ./tls.key}\n"
	if strings.Contains(auth, admin) {
		t.Error("the settings hold the token")
	}
	write(t, dir, map[string]string{
		"open.yaml": settings("0.0.0.0:0", ""), "anneal.yaml": settings("0.0.0.0:0", auth), "policies/a.yaml": strings.ReplaceAll(strings.ReplaceAll(asking, "NAME", "a"), "to: team", "to: log"),
	})
	out, status := runOnce("serve", "--config", filepath.Join(dir, "open.yaml"))
	if status != exitUsage || !strings.Contains(out, "open.yaml:1:9: off loopback nothing starts without authentication: make a token with `anneal token new NAME`") {
		t.Errorf("serve without tokens: %d %s", status, out)
	}
	p := &process{t: t, dir: dir}
	p.start()
	t.Cleanup(p.kill)
	eventually(t, 20*time.Second, func() error {
		address, err := os.ReadFile(filepath.Join(dir, "anneal-data", "address"))
		if err == nil && !strings.HasPrefix(string(address), "https://127.0.0.1:") {
			err = fmt.Errorf("address %s", address)
		}
		p.server = strings.TrimSpace(string(address))
		return err
	})
	ask := func(token string, args ...string) (string, int) {
		return runWith([]string{"ANNEAL_SERVER=" + p.server, "ANNEAL_TOKEN=" + token, "SSL_CERT_FILE=" + filepath.Join(dir, "tls.crt")}, args...)
	}
	for _, c := range []struct {
		token  string
		args   []string
		status int
		says   string
	}{
		{"", []string{"policies", "list"}, exitUsage, "a token is needed"},
		{"anneal_GUESS", []string{"policies", "list"}, exitUsage, "no token that is known"},
		{viewer, []string{"policies", "list"}, 0, "observe"},
		{viewer, []string{"trigger", "a"}, exitUsage, "token prometheus is a viewer's"},
		{viewer, []string{"pause", "a"}, exitUsage, "token prometheus is a viewer's"},
		{admin, []string{"trigger", "a", "--input", "go=true"}, 0, "would-run"},
		{admin, []string{"pause", "a", "--note", "holidays"}, 0, "paused by hand: holidays"},
		{viewer, []string{"policies", "list"}, 0, "paused"},
		{admin, []string{"trigger", "a", "--input", "go=true"}, 0, "hold: paused by hand: holidays"},
		{admin, []string{"resume", "a"}, 0, "resumed by hand"},
		{admin, []string{"pause", "none"}, exitUsage, `no policy "none" is loaded`},
		{admin, []string{"approve", "none"}, exitUsage, `anneal: no decision "none" in the journal`},
		{viewer, []string{"models", "show", "a"}, exitUsage, `no model "a" in the journal: want a version of a group, such as a@1`},
	} {
		if out, status := ask(c.token, c.args...); status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%q: %d %s\nwant %d … %s …", c.args, status, out, c.status, c.says)
		}
	}
	if out, status := runWith([]string{"ANNEAL_SERVER=" + p.server}, "health"); status != exitBroken || !strings.Contains(out, "in SSL_CERT_FILE)") || strings.Contains(out, "no daemon") {
		t.Errorf("health without its certificate: %d %s", status, out)
	}
	if log := p.log.String(); strings.Contains(log, admin) || !strings.Contains(log, "by=ops") {
		t.Errorf("the log has the token, or not who asked:\n%s", log)
	}
}

// certificate writes one for this machine, signed by itself, that holds for so long.
func certificate(t *testing.T, dir string, until time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "anneal"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(until),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"tls.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	})
}

// TestMetrics gathers what Prometheus would, after something of each kind has
// happened, and has its linter look at the names.
func TestMetrics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"anneal.yaml": "listen: 127.0.0.1:0\ndata: ./anneal-data\n", "policies/a.yaml": strings.ReplaceAll(strings.ReplaceAll(asking, "NAME", "a"), "to: team", "to: log")})
	cfg, err := configs.Load(filepath.Join(dir, "anneal.yaml"), loadOptions())
	if err != nil {
		t.Fatal(err)
	}
	d, err := assemble(t.Context(), cfg, slog.New(slog.DiscardHandler), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		d.close()
	})
	eventually(t, 10*time.Second, func() error {
		if !d.ready.Load() {
			return fmt.Errorf("not ready")
		}
		return nil
	})
	if _, err := d.controller.Trigger(ctx, "a", map[string]any{"go": true}, false); err != nil {
		t.Fatal(err)
	}
	for i := range maxSources + 10 {
		event := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"flood-%d","type":"t"}`, i)
		if _, err := d.ingest(ctx, []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		w := httptest.NewRecorder()
		d.metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	eventually(t, 10*time.Second, func() error {
		for _, want := range []string{
			`anneal_decisions_total{policy="a",verdict="would-run"} 1`, `anneal_events_total{source="anneal.manual"} 1`, `anneal_events_total{source="other"} 10`,
			"anneal_events_lag 0", "anneal_ready 1", "anneal_wakes_waiting 0", `anneal_policy_paused{model="a",policy="a"} 0`,
			`anneal_runs_open{model="a",policy="a"} 0`, "anneal_build_info{", "anneal_journal_commit_seconds_count ", "anneal_journal_bytes ",
		} {
			if got := text(); !strings.Contains(got, "\n"+want) {
				return fmt.Errorf("/metrics lacks %s:\n%s", want, got)
			}
		}
		return nil
	})
	problems, err := promlint.New(bytes.NewReader([]byte(text()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
