package web_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/web"
)

// open returns a journal that holds the given records: kind, key, JSON.
func open(t *testing.T, records ...[3]string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	for _, r := range records {
		if _, err := j.Append(t.Context(), journal.Record{Kind: r[0], Key: r[1], Data: []byte(r[2])}); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// ask sends a request as a client on this machine does.
func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// ids are those of a list, as answered.
func ids(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	var items []struct {
		ID     string `json:"id"`
		Status any    `json:"status"` // of a notice, a number
		Parked string `json:"parked"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &items); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	list := []string{}
	for _, i := range items {
		status, _ := i.Status.(string)
		list = append(list, strings.TrimSpace(i.ID+" "+status+i.Parked))
	}
	return list
}

func TestList(t *testing.T) {
	j := open(t,
		[3]string{"event", "e1", `{"id":"e1","seen":"2026-07-01T00:00:00Z"}`},
		[3]string{"run", "r1", `{"id":"r1","policy":"a","model":"m","status":"PENDING","started":"2026-07-01T00:00:00Z"}`},
		[3]string{"event", "e2", `{"id":"e2","seen":"2026-07-02T00:00:00Z"}`},
		[3]string{"run", "r2", `{"id":"r2","policy":"b","model":"n","status":"PENDING","started":"2026-07-02T00:00:00Z"}`},
		[3]string{"run", "r1", `{"id":"r1","policy":"a","model":"m","status":"SUCCEEDED","started":"2026-07-01T00:00:00Z"}`},
		[3]string{"parked", "e1", `{"reason":"not text"}`},
		[3]string{"event", "e3", `{"id":"e3","seen":"2026-07-03T00:00:00Z"}`},
		[3]string{"decision", "d1", `{"id":"d1","policy":"a","model":"m","verdict":"hold","at":"2026-07-01T00:00:00Z"}`},
		[3]string{"signal", "s1", `{"id":"s1","policy":"a","model":"m","status":"ok","verdict":"drift","at":"2026-07-01T00:00:00Z"}`},
		[3]string{"signal", "s2", `{"id":"s2","policy":"a","model":"m","status":"ok","at":"2026-07-01T00:00:00Z"}`},
		[3]string{"notice", "n1", `{"id":"n1","channel":"c","policy":"a","attempts":0,"at":"2026-07-01T00:00:00Z"}`},
		[3]string{"notice", "n2", `{"id":"n2","channel":"c","policy":"b","attempts":1,"status":410,"givenUp":true,"at":"2026-07-01T00:00:00Z"}`},
		[3]string{"model", "m@1", `{"id":"m@1","group":"m","version":1,"stage":"retired","trainedAt":"2026-07-01T00:00:00Z"}`},
	)
	h := web.New(web.Config{Journal: j})
	for _, test := range []struct {
		path string
		want []string
		more bool
	}{
		{"events", []string{"e3", "e2", "e1 not text"}, false},
		{"events?limit=2", []string{"e3", "e2"}, true},
		{"events?limit=0", []string{"e3", "e2", "e1 not text"}, false},
		{"events?status=parked", []string{"e1 not text"}, false},
		{"events?status=taken", []string{"e3", "e2"}, false},
		{"events?since=2026-07-02T00:00:00Z", []string{"e3", "e2"}, false},
		{"events?since=1d", []string{}, false},
		{"runs", []string{"r1 SUCCEEDED", "r2 PENDING"}, false}, // each once, as it is now
		{"runs?limit=1", []string{"r1 SUCCEEDED"}, true},
		{"runs?policy=b", []string{"r2 PENDING"}, false},
		{"runs?policy=", []string{"r1 SUCCEEDED", "r2 PENDING"}, false},
		{"runs?model=m", []string{"r1 SUCCEEDED"}, false},
		{"runs?status=PENDING", []string{"r2 PENDING"}, false},
		{"runs?since=2026-07-02T00:00:00Z", []string{"r2 PENDING"}, false},
		{"decisions?status=hold&policy=a&model=m", []string{"d1"}, false},
		{"decisions?status=run", []string{}, false},
		{"notices?status=waiting", []string{"n1"}, false},
		{"notices?status=failed", []string{"n2"}, false},
		{"models?model=m&status=retired", []string{"m@1"}, false},
		{"models?status=live", []string{}, false},
		{"signals?status=ok", []string{"s2 ok", "s1 ok"}, false},
		{"signals?status=missing&policy=a", []string{}, false},
	} {
		w := ask(h, "GET", "/api/v1/"+test.path, "")
		if diff := cmp.Diff(test.want, ids(t, w)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.path, diff)
		}
		if got := w.Header().Get(web.Cursor) != ""; got != test.more {
			t.Errorf("%s: there is more %t, want %t", test.path, got, test.more)
		}
	}
}

// TestPages walks through lists by their cursors.
func TestPages(t *testing.T) {
	j := open(t)
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("e%02d", i)
		want = append([]string{id}, want...)
		if _, err := j.Append(t.Context(), journal.Record{Kind: "event", Key: id, Data: fmt.Appendf(nil, `{"id":%q}`, id)}); err != nil {
			t.Fatal(err)
		}
	}
	h := web.New(web.Config{Journal: j})
	var got []string
	for path := "/api/v1/events?limit=10"; path != ""; {
		w := ask(h, "GET", path, "")
		got = append(got, ids(t, w)...)
		path = ""
		if cursor := w.Header().Get(web.Cursor); cursor != "" {
			path = "/api/v1/events?limit=10&cursor=" + cursor
			if w := ask(h, "GET", "/api/v1/runs?cursor="+cursor, ""); w.Code != http.StatusBadRequest {
				t.Errorf("a cursor of another list: %d %s", w.Code, w.Body)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

// TestListWhileChanging lists runs that change all the time: each is listed
// once, whichever state it is caught in.
func TestListWhileChanging(t *testing.T) {
	j := open(t)
	h := web.New(web.Config{Journal: j})
	const runs = 20
	change := func(ctx context.Context, n int) error {
		for i := range runs {
			id := fmt.Sprintf("r%02d", i)
			data := fmt.Sprintf(`{"id":%q,"status":"%d"}`, id, n)
			if _, err := j.Append(ctx, journal.Record{Kind: "run", Key: id, Data: []byte(data)}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := change(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		var err error
		for n := 1; n < 40 && err == nil; n++ {
			err = change(t.Context(), n)
		}
		ended <- err
	}()
	for changing := true; changing; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			changing = false
		default:
		}
		seen := map[string]bool{}
		for _, line := range ids(t, ask(h, "GET", "/api/v1/runs?limit=0", "")) {
			id, _, _ := strings.Cut(line, " ")
			if seen[id] {
				t.Fatalf("run %s is listed twice", id)
			}
			seen[id] = true
		}
		if len(seen) != runs {
			t.Fatalf("%d of %d runs are listed", len(seen), runs)
		}
	}
}

func TestShow(t *testing.T) {
	h := web.New(web.Config{Journal: open(t,
		[3]string{"model", "g@1", `{"group":"g","version":1,"stage":"candidate"}`},
		[3]string{"model", "g@1", `{"group":"g","version":1,"stage":"live"}`},
	)})
	w := ask(h, "GET", "/api/v1/models/g@1", "")
	if got, want := strings.TrimSpace(w.Body.String()), `{"group":"g","version":1,"stage":"live"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRefusals are requests that must not be answered, and what they are told.
func TestRefusals(t *testing.T) {
	h := web.New(web.Config{
		Journal: open(t),
		Trigger: func(_ context.Context, policy string, _ map[string]any, _ bool) (anneal.Decision, error) {
			return anneal.Decision{}, web.Refuse(http.StatusNotFound, "no policy %q", policy)
		},
	})
	for _, test := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		says                     string
	}{
		{"an unknown list", "GET", "/api/v1/cats", "", nil, 404, "nothing is at /api/v1/cats"},
		{"a method that it has not", "DELETE", "/api/v1/events", "", nil, 405, "want GET, HEAD, POST"},
		{"a way out", "GET", "/api/v1/../../etc/passwd", "", nil, 404, "nothing is at"},
		{"an unknown parameter", "GET", "/api/v1/events?polciy=x", "", nil, 400, `unknown parameter \"polciy\" of events (have limit, cursor, status, since)`},
		{"an unknown status", "GET", "/api/v1/runs?status=DONE", "", nil, 400, "have PENDING, RUNNING"},
		{"a time that is none", "GET", "/api/v1/runs?since=yesterday", "", nil, 400, "such as 36h"},
		{"a cursor that is made up", "GET", "/api/v1/runs?cursor=5", "", nil, 400, "want one that a list of runs gave"},
		{"an unknown event", "GET", "/api/v1/events/e9", "", nil, 404, `no event \"e9\"`},
		{"a limit that is no number", "GET", "/api/v1/events?limit=many", "", nil, 400, "whole number"},
		{"what needs a daemon", "POST", "/api/v1/events", "{}", nil, 503, "running daemon"},
		{"an unknown policy", "POST", "/api/v1/policies/p/trigger", "", nil, 404, "no policy"},
		{"an unknown field", "POST", "/api/v1/policies/p/trigger", `{"forec":true}`, nil, 400, "forec"},
		{"a name that is bound to us", "GET", "/api/v1/events", "", []string{"Host", "evil.example"}, 421, "not this server"},
		{"a foreign page", "POST", "/api/v1/policies/p/trigger", "", []string{"Origin", "http://evil.example"}, 403, "may not write"},
		{"a body without end", "POST", "/api/v1/policies/p/trigger", strings.Repeat(" ", 2<<20), nil, 413, "larger than"},
	} {
		w := ask(h, test.method, test.path, test.body, test.header...)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s: %d %s, want %d and %q", test.name, w.Code, w.Body, test.status, test.says)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: answered as %q", test.name, got)
		}
	}
	if w := ask(h, "POST", "/api/v1/policies/p/trigger", "", "Origin", "http://127.0.0.1:8080"); w.Code != 404 {
		t.Errorf("our own page: %d %s", w.Code, w.Body)
	}
}

// A browser that asks for what is not there gets a page.
func TestNoPage(t *testing.T) {
	w := ask(web.New(web.Config{Journal: open(t)}), "GET", "/nope", "", "Accept", "text/html,*/*;q=0.8")
	if want := "<p>nothing is at /nope</p>"; w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s, want 404 … %s …", w.Code, w.Body, want)
	}
}

// TestAnswered looks at two decisions that asked for approval: only the one that
// still waits for it has buttons, and only for who may press them.
func TestAnswered(t *testing.T) {
	decisions := [][3]string{
		{"decision", "answered", `{"id":"answered","policy":"p","verdict":"await-approval"}`},
		{"decision", "open", `{"id":"open","policy":"p","verdict":"await-approval"}`},
		{"decision", "ran", `{"id":"ran","policy":"p","verdict":"run"}`},
	}
	approve := regexp.MustCompile(`action="/decisions/(\w+)/approve"`)
	for _, test := range []struct {
		name   string
		asks   string
		tokens []web.Token
		want   []string
	}{
		{"one waits", "open", nil, []string{"open"}},
		{"none waits", "", nil, nil},
		{"a viewer looks", "open", []web.Token{{Name: "v", SHA256: sha256.Sum256([]byte("v"))}}, nil},
	} {
		h := web.New(web.Config{Journal: open(t, decisions...), Tokens: test.tokens, Policies: func() []web.Policy {
			return []web.Policy{{Name: "p", Asks: test.asks}, {Name: "q"}}
		}})
		for _, path := range []string{"/", "/decisions"} {
			w := ask(h, "GET", path, "", "Authorization", "Bearer v")
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %s: %d %s", test.name, path, w.Code, w.Body)
			}
			var got []string
			for _, m := range approve.FindAllStringSubmatch(w.Body.String(), -1) {
				got = append(got, m[1])
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s: %s: buttons (-want +got):\n%s", test.name, path, diff)
			}
		}
	}
}

// TestLatest looks at the first page as policies decide: each is shown with what
// it decided last, those with nothing too, and what was read is not read again.
func TestLatest(t *testing.T) {
	j := open(t)
	h := web.New(web.Config{Journal: j, Policies: func() []web.Policy { return []web.Policy{{Name: "a"}, {Name: "b"}, {Name: "never"}} }})
	row := regexp.MustCompile(`(?s)<a href="/decisions\?policy=(\w+)">.*?(nothing yet|href="/decisions/\w+")`)
	for _, step := range []struct{ policy, id, want string }{
		{"", "", "a nothing yet, b nothing yet, never nothing yet"},
		{"a", "a1", "a a1, b nothing yet, never nothing yet"},
		{"b", "b1", "a a1, b b1, never nothing yet"},
		{"gone", "g1", "a a1, b b1, never nothing yet"},
		{"a", "a2", "a a2, b b1, never nothing yet"},
	} {
		if step.id != "" {
			data := fmt.Appendf(nil, `{"id":%q,"policy":%q,"verdict":"hold","reason":"r"}`, step.id, step.policy)
			if _, err := j.Append(t.Context(), journal.Record{Kind: "decision", Key: step.id, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			var got []string
			for _, m := range row.FindAllStringSubmatch(ask(h, "GET", "/", "").Body.String(), -1) {
				got = append(got, m[1]+" "+strings.TrimSuffix(strings.TrimPrefix(m[2], `href="/decisions/`), `"`))
			}
			if got := strings.Join(got, ", "); got != step.want {
				t.Errorf("after %q: got %s, want %s", step.id, got, step.want)
			}
		}
	}
}

// The first page shows so many policies and says how many more there are.
func TestManyPolicies(t *testing.T) {
	var many []web.Policy
	for i := range 250 {
		many = append(many, web.Policy{Name: fmt.Sprint("p", i)})
	}
	h := web.New(web.Config{Journal: open(t), Policies: func() []web.Policy { return many }})
	for path, want := range map[string]int{"/": 100, "/?all": 250} {
		body := ask(h, "GET", path, "").Body.String()
		rows, more := strings.Count(body, `href="/decisions?policy=p`), strings.Contains(body, "150 more policies")
		if rows != want || more != (want == 100) {
			t.Errorf("%s shows %d policies and says that there are more: %t; want %d", path, rows, more, want)
		}
	}
}
