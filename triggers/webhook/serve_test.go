package webhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

var quiet = slog.New(slog.DiscardHandler)

// A site is a source with a server before it.
type site struct {
	source *Source
	url    string
}

func newSite(t *testing.T, signature Signature, log *slog.Logger) *site {
	t.Helper()
	secret := map[Signature]string{Standard: standardSecret, Hub: hubSecret}[signature]
	source, err := New(Config{Path: "/hooks/ci", Secrets: []string{secret}}, log)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(source.Path(), source)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &site{source: source, url: server.URL + source.Path()}
}

// run runs the source until the test is over, or stop is called.
func (s *site) run(t *testing.T, sink triggers.Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.source.Run(ctx, sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// A reply is an answer of any kind.
type reply struct {
	status    int
	ID        string `json:"id"`
	Duplicate bool   `json:"duplicate"`
	Error     string `json:"error"`
	header    http.Header
}

func post(url string, body io.Reader, headers ...http.Header) (reply, error) {
	r, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		return reply{}, err
	}
	for _, h := range headers {
		for name, values := range h {
			r.Header[name] = values
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	got := reply{status: resp.StatusCode, header: resp.Header}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return reply{}, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	return got, nil
}

func (s *site) post(t *testing.T, body string, headers ...http.Header) reply {
	t.Helper()
	got, err := post(s.url, strings.NewReader(body), headers...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (r reply) want(t *testing.T, status int, message string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.Error, message) {
		t.Errorf("got %d %s; want %d with %q", r.status, r.Error, status, message)
	}
}

func TestAccepted(t *testing.T) {
	s, sink := newSite(t, Standard, quiet), triggertest.NewSink()
	s.run(t, sink)
	const body = `{"n": 1}`
	signed := signStandard(t, standardSecret, "msg_1", time.Now(), body)
	first := s.post(t, body, signed)
	first.want(t, http.StatusAccepted, "")
	events := sink.Events()
	if len(events) != 1 || events[0].ID != first.ID || events[0].Source != "anneal.webhook/hooks/ci" || string(events[0].Data) != `{"n":1}` || first.Duplicate {
		t.Fatalf("answered %+v, have %+v", first, events)
	}
	triggertest.Check(t, events[0])

	// The same delivery again, also signed anew and with other headers.
	for _, h := range [][]http.Header{
		{signed},
		{signStandard(t, standardSecret, "msg_1", time.Now().Add(-time.Minute), body)},
		{signed, header("X-GitHub-Event", "push")},
		{signed, header("ce-specversion", "1.0", "ce-id", "1", "ce-source", "/forged", "ce-type", "t")},
	} {
		again := s.post(t, body, h...)
		if again.status != http.StatusAccepted || again.ID != first.ID || !again.Duplicate {
			t.Errorf("sent again: %+v; want 202 and the duplicate of %s", again, first.ID)
		}
	}
	if n := len(sink.Events()); n != 1 {
		t.Errorf("%d events; want 1", n)
	}
}

func TestCloudEvents(t *testing.T) {
	for _, signature := range []Signature{Standard, Hub} {
		s, sink := newSite(t, signature, quiet), triggertest.NewSink()
		s.run(t, sink)
		n := 0
		sign := func(body string) http.Header { // each a delivery of its own
			if n++; signature == Hub {
				return signHub(hubSecret, body)
			}
			return signStandard(t, standardSecret, fmt.Sprint("msg_", n), time.Now(), body)
		}
		const data, structured = `{"n": 1}`, `{"specversion":"1.0","id":"42","source":"/ci","type":"built","data":{"n":1}}`
		attributes := header("ce-specversion", "1.0", "ce-id", "42", "ce-source", "/ci", "ce-type", "built", "Content-Type", "application/json")
		first := s.post(t, data, sign(data), attributes)
		first.want(t, http.StatusAccepted, "")
		for _, again := range []reply{
			s.post(t, data, sign(data), attributes),
			s.post(t, structured, sign(structured), header("Content-Type", "application/cloudevents+json")),
		} {
			if again.status != http.StatusAccepted || again.ID != first.ID || !again.Duplicate {
				t.Errorf("%s: the same event again: %+v; want 202 and the duplicate of %s", signature, again, first.ID)
			}
		}
		if events := sink.Events(); len(events) != 1 || events[0].Source != "/ci" || events[0].Type != "built" {
			t.Errorf("%s: events %+v; want one of /ci", signature, events)
		}
		attributes.Set("ce-source", "anneal.manual")
		s.post(t, data, sign(data), attributes).want(t, http.StatusForbidden, "names that begin with anneal. are anneal's own")
	}
}

func TestHub(t *testing.T) {
	s, sink := newSite(t, Hub, quiet), triggertest.NewSink()
	s.run(t, sink)
	const body = `{"ref": "refs/heads/main"}`
	first := s.post(t, body, signHub(hubSecret, body), header("X-GitHub-Event", "push", "X-GitHub-Delivery", "1"))
	first.want(t, http.StatusAccepted, "")
	forged := s.post(t, body, signHub(hubSecret, body), header("X-GitHub-Event", "release", "X-GitHub-Delivery", "2"))
	if forged.status != http.StatusAccepted || forged.ID != first.ID || !forged.Duplicate {
		t.Errorf("the same body with other headers: %+v; want the duplicate of %s", forged, first.ID)
	}
	if events := sink.Events(); len(events) != 1 || events[0].Type != "push" {
		t.Errorf("events %+v; want one push", events)
	}
}

func TestRefused(t *testing.T) {
	var log bytes.Buffer
	s, sink := newSite(t, Standard, slog.New(slog.NewTextHandler(&log, nil))), triggertest.NewSink()
	stop := s.run(t, sink)
	const body = `{"n": 1}`
	sign := func(id string, at time.Time) http.Header { return signStandard(t, standardSecret, id, at, body) }
	other := "whsec_" + strings.Repeat("A", 32)

	unsigned := s.post(t, body)
	unsigned.want(t, http.StatusUnauthorized, "is missing")
	if unsigned.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	s.post(t, body, signStandard(t, other, "msg_1", time.Now(), body)).want(t, http.StatusUnauthorized, "signature: is not one of this body")
	s.post(t, `{"n": 2}`, sign("msg_1", time.Now())).want(t, http.StatusUnauthorized, "signature: is not one of this body")
	s.post(t, body, sign("msg_1", time.Now().Add(-6*time.Minute))).want(t, http.StatusUnauthorized, "more than 5m0s from now")
	s.post(t, body, sign("msg_1", time.Now().Add(6*time.Minute))).want(t, http.StatusUnauthorized, "more than 5m0s from now")
	s.post(t, body, signHub(hubSecret, body)).want(t, http.StatusUnauthorized, "is missing")

	resp, err := http.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %s; want 405 and POST", resp.StatusCode, resp.Header.Get("Allow"))
	}
	if events := sink.Events(); len(events) != 0 {
		t.Errorf("%d events of refused requests: %+v", len(events), events)
	}
	stop()
	if n := strings.Count(log.String(), "requests are refused"); n != 1 {
		t.Errorf("the log tells of refusals %d times within a minute; want once:\n%s", n, &log)
	}
	if strings.Contains(log.String(), standardSecret[6:]) {
		t.Errorf("the log shows the secret:\n%s", &log)
	}
}

// A body that somebody trusted has signed and nobody can read is kept.
func TestParked(t *testing.T) {
	s, sink := newSite(t, Hub, quiet), triggertest.NewSink()
	s.run(t, sink)
	const body = "payload=%7B%7D"
	first := s.post(t, body, signHub(hubSecret, body))
	first.want(t, http.StatusBadRequest, "not JSON")
	again := s.post(t, body, signHub(hubSecret, body))
	events := sink.Events()
	if len(events) != 1 || events[0].ID != first.ID || again.ID != first.ID {
		t.Fatalf("answered %+v, then %+v; have %+v", first, again, events)
	}
	triggertest.Check(t, events[0])
	if events[0].Parked != first.Error || string(events[0].Raw) != body || events[0].Data != nil {
		t.Errorf("parked as %+v", events[0])
	}
}

func TestLargeBody(t *testing.T) {
	s, sink := newSite(t, Hub, quiet), triggertest.NewSink()
	s.run(t, sink)
	most := `"` + strings.Repeat("x", maxBody-2) + `"`
	s.post(t, most, signHub(hubSecret, most)).want(t, http.StatusAccepted, "")
	more := `"` + strings.Repeat("x", maxBody-1) + `"`
	s.post(t, more, signHub(hubSecret, more)).want(t, http.StatusRequestEntityTooLarge, "larger than 1048576 bytes")
	deep := strings.Repeat("[", maxBody)
	s.post(t, deep, signHub(hubSecret, deep)).want(t, http.StatusBadRequest, "body:")
}

// conn is a connection of somebody who sends a request by hand.
func (s *site) conn(t *testing.T, head string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), s.source.Path()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n", s.source.Path(), head); err != nil {
		t.Fatal(err)
	}
	return c
}

func status(t *testing.T, c net.Conn) int {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestEndlessBody(t *testing.T) {
	s := newSite(t, Hub, quiet)
	s.run(t, triggertest.NewSink())
	hub := "X-Hub-Signature-256: " + signHub(hubSecret, "").Get("X-Hub-Signature-256") + "\r\n"

	c := s.conn(t, hub+"Transfer-Encoding: chunked\r\n")
	sent := make(chan int)
	go func() {
		n := 0
		chunk := fmt.Sprintf("10000\r\n%s\r\n", strings.Repeat("x", 1<<16))
		for n < 1<<30 {
			m, err := io.WriteString(c, chunk)
			if n += m; err != nil {
				break
			}
		}
		sent <- n
	}()
	if got := status(t, c); got != http.StatusRequestEntityTooLarge {
		t.Errorf("endless body: %d; want 413", got)
	}
	if n := <-sent; n >= 1<<30 {
		t.Errorf("endless body: %d bytes were taken", n)
	}

	// Without a claim, the body is not even read.
	c = s.conn(t, "Transfer-Encoding: chunked\r\n")
	if got := status(t, c); got != http.StatusUnauthorized {
		t.Errorf("endless body without a signature: %d; want 401", got)
	}
}

func TestSlowBody(t *testing.T) {
	s, sink := newSite(t, Hub, quiet), triggertest.NewSink()
	s.source.bodyTime = 100 * time.Millisecond
	slow := make(chan struct{})
	sink.Refuse = func(anneal.Event) error { <-slow; return nil }
	s.run(t, sink)
	hub := "X-Hub-Signature-256: " + signHub(hubSecret, "{}").Get("X-Hub-Signature-256") + "\r\n"
	for _, length := range []string{"Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"} {
		c := s.conn(t, hub+length)
		if got := status(t, c); got != http.StatusRequestTimeout {
			t.Errorf("%s: a body that does not come: %d; want 408", strings.TrimSpace(length), got)
		}
	}

	// A sink that is slower than bodies may be does not end the connection.
	time.AfterFunc(300*time.Millisecond, func() { close(slow) })
	s.post(t, "{}", signHub(hubSecret, "{}")).want(t, http.StatusAccepted, "")
}

func TestManyRequests(t *testing.T) {
	s := newSite(t, Hub, quiet)
	s.run(t, triggertest.NewSink())
	hub := "X-Hub-Signature-256: " + signHub(hubSecret, "{}").Get("X-Hub-Signature-256") + "\r\n"
	var slow []net.Conn
	for range maxRequests {
		slow = append(slow, s.conn(t, hub+"Content-Length: 2\r\n"))
	}
	for len(s.source.slots) < maxRequests {
		time.Sleep(time.Millisecond)
	}
	full := s.post(t, "{}", signHub(hubSecret, "{}"))
	full.want(t, http.StatusServiceUnavailable, "64 requests are being read")
	if full.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if _, err := io.WriteString(slow[0], "{}"); err != nil {
		t.Fatal(err)
	}
	if got := status(t, slow[0]); got != http.StatusAccepted {
		t.Errorf("a slow request that ends: %d; want 202", got)
	}
	for len(s.source.slots) == maxRequests {
		time.Sleep(time.Millisecond)
	}
	s.post(t, `{"n": 2}`, signHub(hubSecret, `{"n": 2}`)).want(t, http.StatusAccepted, "")
}

func TestNotDurable(t *testing.T) {
	s, sink := newSite(t, Standard, quiet), triggertest.NewSink()
	var full atomic.Bool
	full.Store(true)
	sink.Refuse = func(anneal.Event) error {
		if full.Load() {
			return errors.New("no space left on device")
		}
		return nil
	}
	s.run(t, sink)
	const body = `{"n": 1}`
	signed := signStandard(t, standardSecret, "msg_1", time.Now(), body)
	refused := s.post(t, body, signed)
	refused.want(t, http.StatusServiceUnavailable, "the event is not durable; try again")
	full.Store(false)
	if again := s.post(t, body, signed); again.status != http.StatusAccepted || again.Duplicate {
		t.Errorf("sent again: %+v; want 202, not a duplicate", again)
	}
}

// While Run is not running, as in a reload, requests wait; not for ever.
func TestNotRunning(t *testing.T) {
	s, sink := newSite(t, Hub, quiet), triggertest.NewSink()
	got := make(chan reply)
	go func() {
		r, err := post(s.url, strings.NewReader("{}"), signHub(hubSecret, "{}"))
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	for len(s.source.slots) == 0 {
		time.Sleep(time.Millisecond)
	}
	stop := s.run(t, sink)
	(<-got).want(t, http.StatusAccepted, "")
	stop()

	short := newSite(t, Hub, quiet)
	short.source.ingestTime = 50 * time.Millisecond
	short.post(t, "{}", signHub(hubSecret, "{}")).want(t, http.StatusServiceUnavailable, "no events are taken at present")
}

// Of one delivery sent many times at once, one is the event, whatever the
// unsigned headers of each say.
func TestAtOnce(t *testing.T) {
	s, sink := newSite(t, Standard, quiet), triggertest.NewSink()
	s.run(t, sink)
	const body = `{"n": 1}`
	signed := signStandard(t, standardSecret, "msg_1", time.Now(), body)
	var all sync.WaitGroup
	var mu sync.Mutex
	ids := make(map[string]int)
	first := 0
	for n := range 20 {
		all.Go(func() {
			got, err := post(s.url, strings.NewReader(body), signed, header("ce-specversion", "1.0", "ce-id", fmt.Sprint(n), "ce-source", "/s", "ce-type", "t"))
			if err != nil || got.status != http.StatusAccepted {
				t.Errorf("%+v, %v", got, err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[got.ID]++
			if !got.Duplicate {
				first++
			}
		})
	}
	all.Wait()
	if len(ids) != 1 || first != 1 || len(sink.Events()) != 1 {
		t.Errorf("20 at once: IDs %v, %d of them first, %d events; want one", ids, first, len(sink.Events()))
	}
}

func TestDeliveriesExpire(t *testing.T) {
	d := deliveries{known: make(map[string]*delivery)}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for n := range 100 {
		id := fmt.Sprint(n)
		mine, ok := d.begin(id, now.Add(tolerance), now)
		if !ok {
			t.Fatalf("%s was begun before", id)
		}
		d.end(id, mine, "event-"+id)
	}
	if known, mine := d.begin("7", now.Add(tolerance), now.Add(tolerance)); mine || known.event != "event-7" {
		t.Errorf("as long as it would be accepted, a delivery is known; got %+v, %v", known, mine)
	}
	if _, mine := d.begin("new", now.Add(3*tolerance), now.Add(tolerance+2*time.Minute)); !mine || len(d.known) != 1 {
		t.Errorf("%d deliveries are known after their time; want the new one", len(d.known))
	}
}

// A world whose sender tries again until its event is taken, as senders do, and
// whose server outlives its sources.
type world struct {
	url      string
	source   atomic.Pointer[Source]
	happened chan string
}

func newWorld(t *testing.T) triggertest.World {
	w := &world{happened: make(chan string, 10)}
	w.Source(t)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.source.Load().ServeHTTP(rw, r) }))
	w.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case subject := <-w.happened:
				for !w.send(t, subject) && ctx.Err() == nil {
					select {
					case <-ctx.Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
			}
		}
	})
	t.Cleanup(func() { cancel(); sending.Wait(); server.Close() })
	return w
}

func (w *world) send(t *testing.T, subject string) bool {
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/s","type":"t","subject":%q}`, subject, subject)
	h := signStandard(t, standardSecret, subject, time.Now(), body)
	h.Set("Connection", "close") // no goroutine waits for more
	got, err := post(w.url, strings.NewReader(body), h)
	return err == nil && got.status == http.StatusAccepted
}

func (w *world) Source(t *testing.T) triggers.Source {
	t.Helper()
	source, err := New(Config{Path: "/h", Secrets: []string{standardSecret}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	source.ingestTime = 50 * time.Millisecond
	w.source.Store(source)
	return source
}

func (w *world) Happen(_ *testing.T, n int) string {
	subject := fmt.Sprint("thing-", n)
	w.happened <- subject
	return subject
}

func TestContract(t *testing.T) { triggertest.Test(t, newWorld) }
